import { current } from "../shared/instrumentation.ts";
import { withMessageId, withValue } from "../shared/put_errors.ts";
import type { Link, Message, Offer } from "../transports/transport.ts";
import { type Call, Operation, type OperationOptions, type Pending } from "./operation.ts";

/** A put. The error that it rejects with carries the value. */
export class Put<R = void> extends Operation<R> implements Offer {
  /** Set by `send`. */
  message!: Message;
  readonly #value: unknown;
  #link: Link | undefined;
  #isRecalled = false;
  /** Whether the put was given up although the value may arrive. */
  #isOutcomeUnknown = false;

  constructor(call: Call, options: OperationOptions, value: unknown) {
    super(call, options);
    this.#value = value;
  }

  send(link: Link, message: Message): void {
    if (this.settled) return;
    this.message = current ? current.send(this, message) : message;
    this.#link = link;
    link.put(this);
  }

  taken(): void {
    this.resolve(undefined as R);
  }

  /** Withdraws the message from the transport. Reports whether it surely does not arrive. */
  recall(): boolean {
    return this.#isRecalled ||= this.#link?.withdraw(this) ?? true;
  }

  override giveUp(reason: unknown, isOurs = true): void {
    if (this.settled) return;
    this.#isOutcomeUnknown = !this.recall();
    super.giveUp(reason, isOurs);
  }

  protected override dress(reason: unknown): unknown {
    if (this.#isOutcomeUnknown) withMessageId(reason, this.message.id!);
    return withValue(reason, this.#value);
  }
}

/** A put, whatever its result. */
export type PendingPut = Pending & Pick<Put, "recall" | "send" | "reject">;

/** The result of a put that does not wait for room. */
export type TryPutOutcome = "ok" | "full";

/** A put that does not wait for room. */
export class TryPut extends Put<TryPutOutcome> {
  /** Whether the channel was full. */
  isFull = false;
  /** Called with the outcome, before the promise resolves. */
  onOutcome: ((outcome: TryPutOutcome) => void) | undefined;

  override taken(): void {
    this.resolve("ok");
    this.onOutcome?.("ok");
  }

  full(): void {
    this.isFull = true;
    this.resolve("full");
    this.onOutcome?.("full");
  }
}
