import type { Loan, Message } from "../transports/transport.ts";
import { DeadLetters, type DeadLetterSource } from "./dead_letters.ts";
import { Delivery } from "./delivery.ts";

/** The deliveries of a handle that are not settled, and what becomes of each when it is released. */
export class Unsettled {
  readonly #source: DeadLetterSource;
  readonly #maxAttempts: number;
  readonly #hasMaxAttempts: boolean;
  readonly #deliveries = new Set<Delivery>();
  readonly #deadLetters: DeadLetters;

  /** @param maxAttempts how often a message is received before it is a dead letter; undefined for no limit */
  constructor(maxAttempts: number | undefined, source: DeadLetterSource) {
    this.#maxAttempts = maxAttempts ?? Infinity;
    this.#hasMaxAttempts = maxAttempts !== undefined;
    this.#source = source;
    this.#deadLetters = new DeadLetters(source, this.#maxAttempts);
  }

  /**
   * Returns the delivery of a loan; undefined if the message was received too often and becomes a dead letter.
   *
   * @param owner an object that must not be garbage collected before the delivery
   * @param decode returns the value of a message; its errors are thrown
   * @param group a set that contains the delivery until it is settled
   */
  deliver<T>(
    owner: object,
    loan: Loan,
    decode: (message: Message) => T,
    group?: Set<Delivery>,
  ): Delivery<T> | undefined {
    if (loan.attempts > this.#maxAttempts) {
      this.#deadLetter(loan, loan.attempts - 1);
      return undefined;
    }
    let value: T;
    try {
      value = decode(loan.message);
    } catch (error) {
      this.#refuse(loan, (error as Error).message);
      throw error;
    }
    const delivery = new Delivery(value, loan, {
      owner,
      outlasting: this.#source.outlasting(),
      takeBack: (loan) => this.#takeBack(loan),
      refuse: (loan, reason) => this.#refuse(loan, reason),
      settled: () => {
        this.#deliveries.delete(delivery);
        group?.delete(delivery);
      },
    });
    this.#deliveries.add(delivery);
    group?.add(delivery);
    return delivery;
  }

  /** Whether the handle receives no message for now, because many dead letters are being put. */
  get isFull(): boolean {
    return this.#deadLetters.isFull;
  }

  /** Resolves when it is not full. */
  room(): Promise<void> {
    return this.#deadLetters.room();
  }

  /** Releases every delivery. Each dead letter has one more attempt to be put. */
  end(): void {
    for (const delivery of [...this.#deliveries]) Delivery.end(delivery);
    this.#deadLetters.end();
  }

  /** Resolves when every dead letter is put, or its message was released. */
  settled(): Promise<void> {
    return this.#deadLetters.settled();
  }

  close(): Promise<void> {
    return this.#deadLetters.close();
  }

  #takeBack(loan: Loan): void {
    if (loan.attempts >= this.#maxAttempts) this.#deadLetter(loan, loan.attempts);
    else loan.release(true);
  }

  /** Settles a message that can never be handled: a dead letter with `maxAttempts`, dropped without. */
  #refuse(loan: Loan, reason: string): void {
    if (this.#hasMaxAttempts) this.#deadLetters.move(loan, reason);
    else loan.accept();
  }

  #deadLetter(loan: Loan, attempts: number): void {
    this.#deadLetters.move(
      loan,
      `maxAttempts: received ${attempts} times and never accepted`,
    );
  }
}
