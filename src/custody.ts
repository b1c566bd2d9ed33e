import { Delivery } from "./delivery.ts";
import type { Loan, Message } from "./transport.ts";

/** Where dead letters go. */
export interface Graveyard {
  /** Puts a message as it is. */
  readonly puts: { forward(message: Message): Promise<void> };
  close(): Promise<void>;
}

/** What a custody asks of its handle. */
export interface Owner {
  /** Whether values outlive this process. */
  outlasting(): boolean;
  /** A handle of its own for the dead letters. */
  deadLetters(): Graveyard;
}

/** What a handle has received and not settled, and what becomes of it. */
export class Custody {
  readonly #maxAttempts: number;
  readonly #isCounting: boolean;
  readonly #owner: Owner;
  readonly #kept = new Set<Delivery>();
  /** Made when the first value is received too often. */
  #graveyard: Graveyard | undefined;
  /** Dead letters on their way. */
  readonly #burials = new Set<Promise<void>>();

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
      if (this.#isCounting) this.#bury(loan, (error as Error).message);
      else loan.accept();
      throw error;
    }
    const delivery = new Delivery(value, loan, {
      owner,
      outlasting: this.#owner.outlasting(),
      takeBack: (loan) => this.#takeBack(loan),
      settled: () => {
        this.#kept.delete(delivery);
        unsettled?.delete(delivery);
      },
    });
    this.#kept.add(delivery);
    unsettled?.add(delivery);
    return delivery;
  }

  /** Gives back what is kept. */
  end(): void {
    for (const delivery of [...this.#kept]) Delivery.end(delivery);
  }

  /** Resolves when what is a dead letter is where it belongs. */
  async settled(): Promise<void> {
    await Promise.all(this.#burials);
  }

  async close(): Promise<void> {
    await this.#graveyard?.close();
  }

  #takeBack(loan: Loan): void {
    if (loan.attempts >= this.#maxAttempts) this.#buryTried(loan, loan.attempts);
    else loan.release(true);
  }

  #buryTried(loan: Loan, attempts: number): void {
    this.#bury(loan, `maxAttempts: received ${attempts} times and never accepted`);
  }

  #bury(loan: Loan, reason: string): void {
    const burial = this.#inter(loan, reason).finally(() => this.#burials.delete(burial));
    this.#burials.add(burial);
  }

  /** Puts a message among the dead letters, and only then takes it out of the channel. */
  async #inter(loan: Loan, reason: string): Promise<void> {
    const { body, contentType, id } = loan.message;
    this.#graveyard ??= this.#owner.deadLetters();
    try {
      await this.#graveyard.puts.forward({
        body,
        contentType,
        reason,
        ...id === undefined ? {} : { id },
      });
      loan.accept(true);
    } catch {
      loan.release(true); // it is tried once more, rather than lost
    }
  }
}
