import { withMessageId, withValue } from "../shared/put_errors.ts";
import { type Call, Operation, type OperationOptions, type Pending } from "./operation.ts";
import type { Claim, Link, Loan, Message, Offer } from "../transports/transport.ts";

/** A put: what it rejects with carries the value. */
export class Put<R = void> extends Operation<R> implements Offer {
  /** There from `send` on. */
  message!: Message;
  readonly #value: unknown;
  #link: Link | undefined;
  #isRecalled = false;
  #isUnknown = false;

  constructor(call: Call, options: OperationOptions, value: unknown) {
    super(call, options);
    this.#value = value;
  }

  send(link: Link, message: Message): void {
    if (this.settled) return;
    this.message = message;
    this.#link = link;
    link.put(this);
  }

  taken(): void {
    this.resolve(undefined as R);
  }

  /** Takes the message back; whether it will surely not arrive. */
  recall(): boolean {
    return this.#isRecalled ||= this.#link?.withdraw(this) ?? true;
  }

  override giveUp(reason: unknown, isOurs = true): void {
    if (this.settled) return;
    this.#isUnknown = !this.recall();
    super.giveUp(reason, isOurs);
  }

  protected override dress(reason: unknown): unknown {
    if (this.#isUnknown) withMessageId(reason, this.message.id!);
    return withValue(reason, this.#value);
  }
}

/** A put, whatever it resolves with. */
export type PendingPut = Pending & Pick<Put, "recall" | "send" | "reject">;

/** What becomes of a put that does not wait for room. */
export type TryPutOutcome = "ok" | "full";

/** A put that does not wait for room. */
export class TryPut extends Put<TryPutOutcome> {
  /** Called with the outcome as it comes, before the promise tells of it. */
  onOutcome: ((outcome: TryPutOutcome) => void) | undefined;

  override taken(): void {
    this.resolve("ok");
    this.onOutcome?.("ok");
  }

  full(): void {
    this.resolve("full");
    this.onOutcome?.("full");
  }
}

/** A get that waits: it accepts a message as it hands the value over, and not before. */
export class Get<T> implements Claim {
  readonly counted = false;
  readonly #operation: Operation<T>;
  readonly #unpack: (message: Message) => T;

  constructor(operation: Operation<T>, unpack: (message: Message) => T) {
    this.#operation = operation;
    this.#unpack = unpack;
  }

  deliver(loan: Loan): void {
    if (this.#operation.settled) return loan.release();
    try {
      this.#operation.resolve(this.#unpack(loan.message));
    } catch (error) {
      this.#operation.reject(error);
    }
    loan.accept();
  }

  reject(error: Error): void {
    this.#operation.reject(error);
  }
}

/** A receive that waits: it hands the loan over, unless the message has been tried too often. */
export class Receive<D> implements Claim {
  readonly counted: boolean;
  readonly #operation: Operation<D>;
  readonly #hand: (loan: Loan) => D | undefined;
  readonly #again: (claim: Claim) => void;

  /**
   * @param hand makes a delivery of a loan; undefined where it has dealt with the loan otherwise
   * @param again claims the next message instead
   */
  constructor(
    operation: Operation<D>,
    counted: boolean,
    hand: (loan: Loan) => D | undefined,
    again: (claim: Claim) => void,
  ) {
    this.#operation = operation;
    this.counted = counted;
    this.#hand = hand;
    this.#again = again;
  }

  deliver(loan: Loan): void {
    if (this.#operation.settled) return loan.release();
    try {
      const delivery = this.#hand(loan);
      if (delivery !== undefined) this.#operation.resolve(delivery);
      else this.#again(this);
    } catch (error) {
      this.#operation.reject(error);
    }
  }

  reject(error: Error): void {
    this.#operation.reject(error);
  }
}
