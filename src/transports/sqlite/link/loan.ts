import type { Loan, Message } from "../../transport.ts";
import type { Row } from "../file/store.ts";

/** Who is told how a loan is settled. */
export interface Lender {
  settled(loan: SqliteLoan): void;
}

/** A message of the file that this session has. */
export class SqliteLoan implements Loan {
  readonly id: number;
  readonly priority: number;
  readonly message: Message;
  redelivered: boolean;
  attempts = 0;
  /** When it came here, as `performance.now()` has it. */
  readonly since: number = performance.now();
  /** Whether the file says that it is being tried. */
  isKept: boolean;
  /** How it was settled; undefined until then. */
  outcome: "accepted" | "released" | undefined;
  /** How often it had been tried before. */
  #tried: number;
  readonly #lender: Lender;

  /** @param isKept whether the row counts the try that is to come */
  constructor(row: Row, lender: Lender, isKept: boolean) {
    this.id = row.id;
    this.priority = row.priority;
    const { body, content_type: contentType, message_id: id, reason } = row;
    this.message = {
      body,
      contentType,
      ...id === null ? {} : { id },
      ...reason === null ? {} : { reason },
    };
    this.redelivered = row.redelivered !== 0;
    this.isKept = isKept;
    this.#tried = row.attempts - (isKept ? 1 : 0);
    this.#lender = lender;
  }

  /**
   * Says how often it is tried, now that it goes to someone. A process that was killed within a moment of
   * its receipt is not counted unless that was asked for; it may then be one of several.
   */
  lend(counted: boolean): this {
    this.attempts = Math.max(this.#tried + 1, this.redelivered && !counted ? 2 : 1);
    return this;
  }

  /** The tries that the file is to know of when it is given back. */
  get tried(): number {
    return this.#tried;
  }

  accept(): void {
    this.#settle("accepted");
  }

  release(counted = false): void {
    if (this.outcome !== undefined) return;
    if (counted) this.#tried = this.attempts;
    this.redelivered = true;
    this.#settle("released");
  }

  #settle(outcome: "accepted" | "released"): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.#lender.settled(this);
  }
}
