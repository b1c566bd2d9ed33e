import { Delivery } from "./delivery.ts";
import { ChannelSizeError } from "../shared/errors.ts";
import { backOff } from "../shared/backoff.ts";
import { Pauses } from "../shared/pauses.ts";
import type { Loan, Message } from "../transports/transport.ts";
import { closeTimeout } from "../shared/timeouts.ts";
import type { OperationOptions } from "./operation.ts";

/** Where dead letters go. */
export interface Graveyard {
  /** Puts a message as it is. */
  readonly puts: { forward(message: Message, options: OperationOptions): Promise<void> };
  readonly closed: boolean;
  close(): Promise<void>;
}

/** What a custody asks of its handle. */
export interface Owner {
  /** Whether values outlive this process. */
  outlasting(): boolean;
  /** A handle of its own for the dead letters. */
  deadLetters(): Graveyard;
  /** Milliseconds for which a dead letter is tried. */
  patience(): number;
  /** A dead letter could not be put, and goes back. */
  unburied(cause: unknown): void;
}

/**
 * What a handle has received and not settled, and what becomes of it.
 *
 * Invariants: a dead letter is on loan until it is put or given back. After a failure every try, of whichever
 * dead letter, follows a pause, which grows until one succeeds; each dead letter is tried for a limited
 * time. No more messages are received while `mostBurials` are on their way.
 */
export class Custody {
  readonly #maxAttempts: number;
  readonly #isCounting: boolean;
  readonly #owner: Owner;
  readonly #kept = new Set<Delivery>();
  /** Made when the first value is received too often. */
  #graveyard: Graveyard | undefined;
  /** Dead letters on their way. */
  readonly #burials = new Set<Promise<void>>();
  /** How many tries in a row have failed, those at one time as one. */
  #failures = 0;
  /** What ends the pauses of dead letters. */
  readonly #pauses = new Pauses();
  #isEnding = false;
  #abandoned: AbortController | undefined;
  /** Who waits until fewer dead letters are on their way. */
  #waiting: (() => void)[] = [];

  constructor(maxAttempts: number | undefined, owner: Owner) {
    this.#maxAttempts = maxAttempts ?? Infinity;
    this.#isCounting = maxAttempts !== undefined;
    this.#owner = owner;
  }

  /**
   * The delivery of a loan; undefined where it has been tried too often, and is a dead letter now.
   *
   * @param owner what must not be collected while the delivery is there
   * @param unpack makes the value of a message; what it throws is thrown
   * @param unsettled has the delivery until it is settled
   */
  hand<T>(
    owner: object,
    loan: Loan,
    unpack: (message: Message) => T,
    unsettled?: Set<Delivery>,
  ): Delivery<T> | undefined {
    if (loan.attempts > this.#maxAttempts) {
      this.#buryTried(loan, loan.attempts - 1);
      return undefined;
    }
    let value: T;
    try {
      value = unpack(loan.message);
    } catch (error) {
      this.#refuse(loan, (error as Error).message);
      throw error;
    }
    const delivery = new Delivery(value, loan, {
      owner,
      outlasting: this.#owner.outlasting(),
      takeBack: (loan) => this.#takeBack(loan),
      refuse: (loan, reason) => this.#refuse(loan, reason),
      settled: () => {
        this.#kept.delete(delivery);
        unsettled?.delete(delivery);
      },
    });
    this.#kept.add(delivery);
    unsettled?.add(delivery);
    return delivery;
  }

  /** Whether the next message is to be received later. */
  get isFull(): boolean {
    return this.#burials.size >= mostBurials;
  }

  /** Resolves when it is not full. */
  async room(): Promise<void> {
    while (this.isFull) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Gives back what is kept; what is a dead letter is tried once more. */
  end(): void {
    this.#isEnding = true;
    for (const delivery of [...this.#kept]) Delivery.end(delivery);
    this.#pauses.end();
  }

  /** Resolves when what is a dead letter is where it belongs, or given back. */
  async settled(): Promise<void> {
    if (this.#burials.size === 0) return;
    const timer = setTimeout(() => this.#abandoned?.abort(abandoned), closeTimeout / 2);
    await Promise.all(this.#burials);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await this.#graveyard?.close();
  }

  #takeBack(loan: Loan): void {
    if (loan.attempts >= this.#maxAttempts) this.#buryTried(loan, loan.attempts);
    else loan.release(true);
  }

  /** What can never be handled is a dead letter, where there are such. */
  #refuse(loan: Loan, reason: string): void {
    if (this.#isCounting) this.#bury(loan, reason);
    else loan.accept();
  }

  #buryTried(loan: Loan, attempts: number): void {
    this.#bury(loan, `maxAttempts: received ${attempts} times and never accepted`);
  }

  #bury(loan: Loan, reason: string): void {
    const burial = this.#inter(loan, reason).finally(() => {
      this.#burials.delete(burial);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.#burials.add(burial);
  }

  /** Puts a message among the dead letters, and only then takes it out of the channel. Never rejects. */
  async #inter(loan: Loan, reason: string): Promise<void> {
    const { body, contentType, id } = loan.message;
    const letter = { body, contentType, reason, ...id === undefined ? {} : { id } };
    const deadline = performance.now() + this.#owner.patience();
    for (;;) {
      if (this.#failures > 0) await this.#pause();
      const failures = this.#failures;
      try {
        await this.#put(letter, deadline - performance.now());
        this.#failures = 0;
        this.#pauses.end();
        return loan.accept(true);
      } catch (error) {
        this.#failures = Math.max(this.#failures, failures + 1);
        const isOver = this.#isEnding || error instanceof ChannelSizeError ||
          performance.now() + this.#nextPause >= deadline;
        if (!isOver) continue;
        // What was tried as often as it may be is not to be handed out once more.
        loan.release(loan.attempts <= this.#maxAttempts);
        return this.#owner.unburied(error);
      }
    }
  }

  #put(letter: Message, left: number): Promise<void> {
    // Somebody may have closed or deleted the channel of the dead letters.
    if (this.#graveyard === undefined || this.#graveyard.closed) {
      this.#graveyard = this.#owner.deadLetters();
    }
    this.#abandoned ??= new AbortController();
    return this.#graveyard.puts.forward(letter, {
      timeout: Math.max(left, leastPatience),
      signal: this.#abandoned.signal,
    });
  }

  get #nextPause(): number {
    return backOff(this.#failures - 1, 100, 30_000);
  }

  /** Lets time pass: none where the handle is closed. */
  async #pause(): Promise<void> {
    if (!this.#isEnding) await this.#pauses.begin(this.#nextPause, !this.#owner.outlasting());
  }
}

const abandoned = new Error("the handle is closed");

/** How many dead letters are on their way at a time. */
const mostBurials = 32;

/** Milliseconds that one try may take at least. */
const leastPatience = 1000;
