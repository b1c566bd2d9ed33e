import { withValue } from "./errors.ts";
import { type Call, Operation, type OperationOptions } from "./operation.ts";
import type { Claim, Delivery, Message } from "./transport.ts";

/** A put: what it rejects with carries the value. */
export class Put extends Operation<void> {
  /** Whether the transport has it, so that it may arrive. */
  isSent = false;
  readonly #value: unknown;

  constructor(call: Call, options: OperationOptions, value: unknown) {
    super(call, options);
    this.#value = value;
  }

  protected override dress(reason: unknown): unknown {
    return withValue(reason, this.#value);
  }
}

/** A get that waits: it accepts a message as it hands the value over, and not before. */
export class Get<T> implements Claim {
  readonly #operation: Operation<T>;
  readonly #unpack: (message: Message) => T;

  constructor(operation: Operation<T>, unpack: (message: Message) => T) {
    this.#operation = operation;
    this.#unpack = unpack;
  }

  deliver(delivery: Delivery): void {
    if (this.#operation.settled) return delivery.release();
    try {
      this.#operation.resolve(this.#unpack(delivery.message));
    } catch (error) {
      this.#operation.reject(error);
    }
    delivery.accept();
  }

  reject(error: Error): void {
    this.#operation.reject(error);
  }
}
