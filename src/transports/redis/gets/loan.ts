import type { Buffer } from "node:buffer";
import type { Loan, Message } from "../../transport.ts";
import { readStored } from "../stored_message.ts";

/** What a loan calls when it is settled: its link. */
export interface RedisLoanOwner {
  settled(loan: RedisLoan): void;
}

/** A message that a link holds. It outlasts connections: each attachment of the link continues it. */
export class RedisLoan implements Loan {
  readonly #seq: string;
  #claim: string;
  readonly message: Message;
  readonly redelivered: boolean;
  /** When it arrived, in ms of `performance.now()`. */
  readonly arrived: number = performance.now();
  attempts = 1;
  /** How it was settled; undefined until then. */
  outcome: "accepted" | "released" | undefined;
  readonly #owner: RedisLoanOwner;
  /** How often it was tried since it was put here, before this attempt. */
  #tried: number;

  /**
   * @param claim the claim that it was lent to, with its mark
   * @param tried how often the message was tried, or "-" if nobody has had it
   */
  constructor(seq: string, claim: string, tried: string, bytes: Buffer, owner: RedisLoanOwner) {
    this.#seq = seq;
    this.#claim = claim;
    this.message = readStored(bytes);
    this.redelivered = tried !== "-";
    this.#tried = /^\d{1,15}$/.test(tried) ? Number(tried) : 0;
    this.#owner = owner;
  }

  /**
   * Sets `attempts` for the claimant. If the claimant does not want attempts counted, the death of a process that had
   * read the message ahead is not told from the death of one that had it: then it is at least 2.
   */
  lend(isCounted: boolean): this {
    const before = this.message.attempts ?? 0;
    const here = Math.max(this.#tried + 1, this.redelivered && !isCounted ? 2 : 1);
    this.attempts = before + here;
    return this;
  }

  /** What the server knows the loan by: the number, and the claim that it was lent to. */
  get entry(): string {
    return `${this.#seq} ${this.#claim}`;
  }

  /** What tells the message from all others of the channel; undefined if it has no id. */
  get identity(): string | undefined {
    return identityOf(this);
  }

  /** Becomes the loan that `copy` is: the same message, lent to another claim of the same link. */
  continueAs(copy: RedisLoan): void {
    this.#claim = copy.#claim;
  }

  /** The id of the message, if it has one. */
  get id(): string | undefined {
    return this.message.id;
  }

  /** How often it was tried, as the server stores it when it is released. */
  get tried(): string {
    return String(this.#tried);
  }

  accept(): void {
    this.#settle("accepted");
  }

  release(isCounted = false): void {
    if (this.outcome !== undefined) return;
    if (isCounted) this.#tried = this.attempts - (this.message.attempts ?? 0);
    this.#settle("released");
  }

  #settle(outcome: "accepted" | "released"): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.#owner.settled(this);
  }
}

/** Returns what tells a message from all others of a channel; undefined if it has no id. */
export function identityOf(
  { entry, id }: { entry: string; id: string | undefined },
): string | undefined {
  return id === undefined ? undefined : `${entry.slice(0, entry.indexOf(" "))} ${id}`;
}
