import type { Claim, Loan, Message } from "../transports/transport.ts";
import type { Operation } from "./operation.ts";

/** The claim of a waiting get. It accepts the message as it resolves the get, and not before. */
export class GetClaim<T> implements Claim {
  readonly counted = false;
  readonly #operation: Operation<T>;
  readonly #decode: (message: Message) => T;

  constructor(operation: Operation<T>, decode: (message: Message) => T) {
    this.#operation = operation;
    this.#decode = decode;
  }

  deliver(loan: Loan): void {
    if (this.#operation.settled) return loan.release();
    try {
      this.#operation.resolve(this.#decode(loan.message));
    } catch (error) {
      this.#operation.reject(error);
    }
    loan.accept();
  }

  reject(error: Error): void {
    this.#operation.reject(error);
  }
}

/** The claim of a waiting receive. It hands the loan over, unless the message was received too often. */
export class ReceiveClaim<D> implements Claim {
  readonly counted: boolean;
  readonly #operation: Operation<D>;
  readonly #deliveryOf: (loan: Loan) => D | undefined;
  readonly #claimAgain: (claim: Claim) => void;

  /**
   * @param counted whether the attempts of a message are counted
   * @param deliveryOf returns the delivery of a loan; undefined if the loan became a dead letter
   * @param claimAgain claims the next message instead
   */
  constructor(
    operation: Operation<D>,
    counted: boolean,
    deliveryOf: (loan: Loan) => D | undefined,
    claimAgain: (claim: Claim) => void,
  ) {
    this.#operation = operation;
    this.counted = counted;
    this.#deliveryOf = deliveryOf;
    this.#claimAgain = claimAgain;
  }

  deliver(loan: Loan): void {
    if (this.#operation.settled) return loan.release();
    try {
      const delivery = this.#deliveryOf(loan);
      if (delivery !== undefined) this.#operation.resolve(delivery);
      else this.#claimAgain(this);
    } catch (error) {
      this.#operation.reject(error);
    }
  }

  reject(error: Error): void {
    this.#operation.reject(error);
  }
}
