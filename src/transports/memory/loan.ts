import type { ScheduledTask } from "../../shared/schedule.ts";
import type { Loan, Message } from "../transport.ts";
import type { QueuedMessage } from "./queue.ts";
import type { RecentMessage } from "./recent_messages.ts";

/** What a loan calls when it is settled: its channel. */
export interface LoanOwner {
  accepted(): void;
  takeBack(loan: MemoryLoan, attempts: number): void;
}

/** A message of a channel, while it waits and while it is on loan. */
export class MemoryLoan implements Loan, QueuedMessage, RecentMessage {
  place = -1;
  slot = -1;
  /** The task that drops the message when it expires, while it waits. */
  expiry: ScheduledTask | undefined;
  message: Message;
  readonly position: number;
  readonly attempts: number;
  readonly redelivered: boolean;
  /** When the message expires: a time of `now()`, or Infinity. */
  readonly end: number;
  readonly #owner: LoanOwner;
  #isSettled = false;

  constructor(
    owner: LoanOwner,
    message: Message,
    position: number,
    attempts: number,
    redelivered: boolean,
    end: number,
  ) {
    this.#owner = owner;
    this.message = message;
    this.position = position;
    this.attempts = attempts;
    this.redelivered = redelivered;
    this.end = end;
  }

  isOf(owner: LoanOwner): boolean {
    return this.#owner === owner;
  }

  copyBytes(): void {
    this.message = withOwnBytes(this.message);
  }

  get priority(): number {
    return this.message.priority ?? 0;
  }

  accept(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#owner.accepted();
  }

  release(counted = false): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#owner.takeBack(this, this.attempts + (counted ? 1 : 0));
  }
}

/** Returns the message with a copy of its bytes if they are less than half of their buffer, else the message itself. */
export function withOwnBytes(message: Message): Message {
  const { body } = message;
  if (2 * body.length >= body.buffer.byteLength) return message;
  return { ...message, body: body.slice() };
}
