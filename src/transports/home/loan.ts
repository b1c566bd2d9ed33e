import type { AckPeriod, HeldMessage } from "../remote/deduplication.ts";
import type { Loan, Message } from "../transport.ts";
import { type Frame, numberOf } from "./protocol/frame.ts";
import { messageOf } from "./protocol/message_fields.ts";
import type { HomeSession } from "./session.ts";

/** What a loan calls when it is settled: its link. */
export interface HomeLoanOwner {
  accepted(loan: HomeLoan, isMoved: boolean): void;
  released(loan: HomeLoan): void;
}

/** A message that the home has lent to this process. */
export class HomeLoan implements Loan, HeldMessage {
  readonly message: Message;
  readonly redelivered: boolean;
  readonly wasLent: boolean;
  copy: number;
  readonly attempts: number;
  /** When it arrived, in ms of `performance.now()`. */
  readonly arrived: number = performance.now();
  readonly #owner: HomeLoanOwner;
  #session: HomeSession;
  #number: number;
  #isSettled = false;

  /** @throws {ProtocolError} if the frame, a `LEND`, cannot be read */
  constructor(frame: Frame, session: HomeSession, owner: HomeLoanOwner) {
    const { args } = frame;
    this.message = messageOf(frame);
    this.#number = numberOf(args[0]);
    this.attempts = numberOf(args[1]);
    this.wasLent = args[2] === "1";
    this.copy = this.message.copy ?? 0;
    this.redelivered = this.wasLent || this.copy > 0;
    this.#session = session;
    this.#owner = owner;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  get ackPeriod(): AckPeriod {
    return this.#session.ackPeriod;
  }

  /** Whether its connection is lost, so that the home lends the message again. */
  get isStale(): boolean {
    return this.#session.isLost;
  }

  accept(isMoved = false): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (!this.isStale) this.#session.settled.accept(this.#number, isMoved);
    this.#owner.accepted(this, isMoved);
  }

  release(counted = false): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (!this.isStale) this.#session.settled.release(this.#number, counted);
    this.#owner.released(this);
  }

  /** Returns it to the channel before any claimant has had it. */
  giveBack(): void {
    this.#isSettled = true;
    this.#session.settled.release(this.#number, false);
  }

  /** Accepts it as a copy of a message that this process has accepted. */
  drop(): void {
    this.#isSettled = true;
    this.#session.settled.accept(this.#number, false);
  }

  /** Replaces this stale loan by another one of the same message. */
  continueAs(again: HomeLoan): void {
    this.#session = again.#session;
    this.#number = again.#number;
    this.copy = again.copy;
    again.#isSettled = true;
  }
}
