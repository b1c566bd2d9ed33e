import { ChannelError, ChannelSizeError } from "../shared/errors.ts";
import { deadLettersName } from "../shared/names.ts";
import { Pauses } from "../shared/pauses.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { backOff } from "../shared/backoff.ts";
import type { Loan, Message } from "../transports/transport.ts";
import type { OperationOptions } from "./operation.ts";

/** A handle on a dead-letter queue. */
export interface DeadLetterQueue {
  /** Puts messages unchanged. */
  readonly puts: { forward(message: Message, options: OperationOptions): Promise<void> };
  readonly closed: boolean;
  close(): Promise<void>;
}

/** The handle whose values become dead letters. */
export interface DeadLetterSource {
  /** Whether the values outlive this process. */
  outlasting(): boolean;
  /** Returns a new handle on the dead-letter queue. */
  openDeadLetters(): DeadLetterQueue;
  /** Returns the time in milliseconds for which a dead letter is retried. */
  deadLetterTimeout(): number;
  /** Called when a dead letter is put, with its reason. */
  deadLettered(reason: string): void;
  /** Called when a dead letter could not be put; the message returns to its channel. */
  deadLetterFailed(cause: unknown): void;
}

/**
 * Moves messages of a channel to its dead-letter queue.
 *
 * Invariants: the message stays on loan until the dead letter is put, or the message is released. After a failure, every
 * attempt, for whichever message, follows a pause, which grows until an attempt succeeds; the attempts for one message
 * end after a limited time. The handle receives no more messages while `isFull`.
 */
export class DeadLetters {
  readonly #source: DeadLetterSource;
  readonly #maxAttempts: number;
  /** Opened for the first dead letter. */
  #queue: DeadLetterQueue | undefined;
  /** The moves that are under way. */
  readonly #moves = new Set<Promise<void>>();
  /** The number of consecutive failed attempts; attempts that overlap count as one. */
  #failures = 0;
  readonly #pauses = new Pauses();
  #isEnding = false;
  #abandoned: AbortController | undefined;
  /** Resolve functions of those that wait for room. */
  #waiting: (() => void)[] = [];

  constructor(source: DeadLetterSource, maxAttempts: number) {
    this.#source = source;
    this.#maxAttempts = maxAttempts;
  }

  /** Whether as many moves are under way as may be at a time. */
  get isFull(): boolean {
    return this.#moves.size >= mostMoves;
  }

  /** Resolves when it is not full. */
  async room(): Promise<void> {
    while (this.isFull) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Moves the message of a loan; `reason` says why it is a dead letter. */
  move(loan: Loan, reason: string): void {
    const move = this.#move(loan, reason).finally(() => {
      this.#moves.delete(move);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.#moves.add(move);
  }

  /** Ends all pauses: each message that is being moved has one more attempt. */
  end(): void {
    this.#isEnding = true;
    this.#pauses.end();
  }

  /** Resolves when each message is in the dead-letter queue or was released, within a bounded time. */
  async settled(): Promise<void> {
    if (this.#moves.size === 0) return;
    const timer = setTimeout(() => this.#abandoned?.abort(handleClosed), closeTimeout / 2);
    await within(closeTimeout, Promise.all(this.#moves));
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await this.#queue?.close();
  }

  /** Puts the dead letter, and only then accepts the original. Never rejects. */
  async #move(loan: Loan, reason: string): Promise<void> {
    // What the put of the message has asked for does not hold for the dead letter.
    const { attempts: _, copy: _c, delay: _d, expires: _e, priority: _p, ...kept } = loan.message;
    const deadLetter = { ...kept, reason };
    const deadline = performance.now() + this.#source.deadLetterTimeout();
    for (;;) {
      if (this.#failures > 0) await this.#pause();
      const failures = this.#failures;
      try {
        await this.#put(deadLetter, deadline - performance.now());
        this.#failures = 0;
        this.#pauses.end();
        loan.accept(true);
        return this.#source.deadLettered(reason);
      } catch (error) {
        this.#failures = Math.max(this.#failures, failures + 1);
        const isLast = this.#isEnding || error instanceof ChannelSizeError ||
          performance.now() + this.#nextPause >= deadline;
        if (!isLast) continue;
        // A message that has used up its attempts must not be delivered once more by this process.
        loan.release(loan.attempts <= this.#maxAttempts);
        return this.#source.deadLetterFailed(error);
      }
    }
  }

  #put(deadLetter: Message, left: number): Promise<void> {
    // The dead-letter queue may have been closed or deleted.
    if (this.#queue === undefined || this.#queue.closed) {
      this.#queue = this.#source.openDeadLetters();
    }
    this.#abandoned ??= new AbortController();
    return this.#queue.puts.forward(deadLetter, {
      timeout: Math.max(left, shortestAttempt),
      signal: this.#abandoned.signal,
    });
  }

  get #nextPause(): number {
    return backOff(this.#failures - 1, 100, 30_000);
  }

  /** Pauses before the next attempt; not at all once the handle is closing. */
  async #pause(): Promise<void> {
    if (!this.#isEnding) await this.#pauses.begin(this.#nextPause, !this.#source.outlasting());
  }
}

const handleClosed = new Error("the handle is closed");

/** The number of messages that are moved at a time. */
const mostMoves = 32;

/** The least time for one attempt, in milliseconds. */
const shortestAttempt = 1000;

const deadLetterErrors = new WeakSet<object>();

/** Returns the error of a receive for a dead letter that could not be put. */
export function newDeadLetterError(
  { name, title }: { readonly name: string; readonly title: string },
  cause: unknown,
): ChannelError {
  const error = new ChannelError(
    `receive: channel ${title}: a dead letter could not be put into ` +
      `${deadLettersName(name)} and is in the channel again: ` +
      `${
        (cause as Error)?.message
      }; make that channel usable, or leave out the option "maxAttempts"`,
    { cause },
  );
  deadLetterErrors.add(error);
  return error;
}

/** Reports whether an error of a receive says only that a dead letter could not be put. */
export function isDeadLetterError(error: unknown): boolean {
  return typeof error === "object" && error !== null && deadLetterErrors.has(error);
}
