import type { Loan, Message } from "../../transport.ts";
import { headersOfText } from "../../message_headers.ts";
import type { Row } from "../file/messages.ts";

/** The owner of a loan. */
export interface Lender {
  /** The loan has been accepted or released. */
  settled(loan: SqliteLoan): void;
}

/** A message of the file that this session holds. */
export class SqliteLoan implements Loan {
  readonly id: number;
  readonly priority: number;
  readonly message: Message;
  redelivered: boolean;
  attempts = 0;
  /** The value of `performance.now()` when this session received it. */
  readonly since: number = performance.now();
  /** Whether the file counts the attempt that the loan is for. */
  isRecorded: boolean;
  /** How the loan was settled; undefined until then. */
  outcome: "accepted" | "released" | undefined;
  /** The number of attempts before this one. */
  #tried: number;
  readonly #lender: Lender;

  /** @param isRecorded whether the row counts the attempt that follows */
  constructor(row: Row, lender: Lender, isRecorded: boolean) {
    this.id = row.id;
    this.priority = row.priority;
    const { body, content_type: contentType, message_id: id, reason } = row;
    this.message = {
      body,
      contentType,
      ...id === null ? {} : { id },
      ...reason === null ? {} : { reason },
      ...headersOfText(row.headers),
    };
    this.redelivered = row.redelivered !== 0;
    this.isRecorded = isRecorded;
    this.#tried = row.attempts - (isRecorded ? 1 : 0);
    this.#lender = lender;
  }

  /**
   * Sets `attempts` for the consumer that gets the message. If the consumer does not want its attempts counted, the
   * file may lack an attempt of a process that was killed soon after it had received the message. Therefore
   * `attempts` of a redelivered message is at least 2 then.
   */
  lend(counted: boolean): this {
    this.attempts = Math.max(this.#tried + 1, this.redelivered && !counted ? 2 : 1);
    return this;
  }

  /** The number of attempts that the file stores if the loan is released now. */
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
