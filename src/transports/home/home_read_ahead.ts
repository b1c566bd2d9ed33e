import { ReadAheadSize } from "../read_ahead_size.ts";
import { ReadAheadBuffer } from "../remote/read_ahead_buffer.ts";
import type { HomeLoan } from "./loan.ts";
import type { Frame } from "./protocol/frame.ts";
import type { Answerer, HomeSession } from "./session.ts";

/** The attachment whose messages are read ahead. */
export interface ReadAheadOwner {
  readonly session: HomeSession;
  /** The number of the link. */
  readonly number: number;
  /** Returns the loan of a `LEND`; undefined if it is a copy, which is settled. */
  loanOf(frame: Frame): HomeLoan | undefined;
  /** Lends a message to a claim that waits for it here, and reports whether there was one. */
  serve(loan: HomeLoan): boolean;
  /** No more messages come, or they are not for claims. */
  ended(): void;
}

/**
 * The messages that this process has been lent on one connection before it claims them.
 *
 * A loop of gets asks for as many messages as it gets within a few milliseconds, of those that wait in the channel. If
 * the channel had none for the last claim, nothing is asked. A message that is not claimed for `maxIdleTime` goes back,
 * and so do all younger ones. If a claimant releases a message, all go back with it, because they are younger.
 *
 * Invariants: the buffer is in the order of the channel. While a request runs, claims wait for its messages. While
 * messages are here, a timer runs.
 */
export class HomeReadAhead implements Answerer {
  readonly #owner: ReadAheadOwner;
  readonly #buffer = new ReadAheadBuffer<HomeLoan>(
    (loan) => loan.giveBack(),
    () => this.giveBack(), // also what comes, which is younger
  );
  readonly #size = new ReadAheadSize(maxMessages, maxBytes);
  /** The number of the next answer, and of the last one; 0 while no request runs. */
  #next = 0;
  #last = 0;
  /** The number of messages that the last request asked for. */
  #asked = 0;
  /** Whether the messages that come go back. */
  #isReturning = false;
  /** How often in a row there was nothing, and for how many chances nothing is asked. */
  #failures = 0;
  #skipped = 0;
  /** Whether the last claim found a message. */
  #hasFound = false;
  #onEnded: (() => void)[] = [];

  constructor(owner: ReadAheadOwner) {
    this.#owner = owner;
  }

  /** Whether a request runs, so that claims wait for its messages. */
  get isAsking(): boolean {
    return this.#last > 0;
  }

  /** Removes the oldest message. */
  shift(): HomeLoan | undefined {
    return this.#buffer.shift();
  }

  /** Counts a message that a claim was served with. `hasFound`: whether it was there when the claim came. */
  served({ message: { body } }: HomeLoan, hasFound: boolean): void {
    this.#size.count(body.length);
    this.#hasFound = hasFound;
  }

  /** Asks for messages if few are left and the claims come quickly. */
  ask(): void {
    if (this.isAsking || !this.#hasFound || 2 * this.#buffer.size > this.#asked) return;
    if (this.#skipped > 0) {
      this.#skipped--;
      return;
    }
    const count = this.#size.next() - this.#buffer.size;
    if (count < least) return;
    const { session, number } = this.#owner;
    this.#asked = count;
    this.#next = session.newRequests(count, this);
    this.#last = this.#next + count - 1;
    session.send(`TRY ${number} ${this.#next} {"count":${count}}`);
  }

  answer(frame: Frame): void {
    if (!this.isAsking) return; // the link is closed, and the home takes its messages back
    const { session } = this.#owner;
    session.endRequest(this.#next);
    if (frame.word !== "LEND") {
      if (this.#asked === this.#last - this.#next + 1) this.#failed();
      for (; this.#next < this.#last; this.#last--) session.endRequest(this.#last);
      this.#end();
      return;
    }
    this.#failures = 0;
    const isLast = this.#next++ === this.#last;
    const loan = this.#owner.loanOf(frame);
    if (loan === undefined) {
      // A copy, which is settled.
    } else if (this.#isReturning) loan.giveBack();
    else if (!this.#owner.serve(loan)) this.#buffer.push(loan);
    if (isLast) this.#end();
  }

  /** Gives back all that is here, and what comes. Resolves when the home has been told. */
  async giveBack(): Promise<void> {
    this.#buffer.giveBack();
    this.#hasFound = false;
    if (!this.isAsking) return;
    this.#isReturning = true;
    await this.ended();
  }

  /** Resolves when no request runs. */
  ended(): Promise<void> {
    if (!this.isAsking) return Promise.resolve();
    return new Promise((resolve) => this.#onEnded.push(resolve));
  }

  lost(): void {
    this.#buffer.end();
    this.#end();
  }

  #failed(): void {
    this.#skipped = 2 ** Math.min(this.#failures++, 6);
  }

  #end(): void {
    this.#next = this.#last = 0;
    this.#isReturning = false;
    for (const resolve of this.#onEnded.splice(0)) resolve();
    this.#owner.ended();
  }
}

/** The most messages that are asked for at once. */
const maxMessages = 256;

/** The most bytes, as far as the messages before tell. */
const maxBytes = 1 << 20;

/** The fewest messages for which a request is worth its frame. */
const least = 2;
