import { longestTimer, unref } from "../shared/timers.ts";
import { milliseconds, none, type Rules, Signature } from "../shared/options.ts";
import type { Loan } from "../transports/transport.ts";

/** The options of {@linkcode Delivery.release}. */
export interface ReleaseOptions {
  /**
   * Milliseconds after which the value can be received again, 0 to 2,147,483,647; default 0. This process holds the value
   * for that time: if the process ends or closes the handle, the value is released at once.
   */
  readonly delay?: number;
}

const releaseSignature: Signature = new Signature(
  "release",
  1,
  { delay: milliseconds(0, longestTimer) } satisfies Rules<ReleaseOptions>,
  "release({ delay: 1000 })",
);

/** The handle of a delivery, as the delivery uses it. */
export interface DeliveryOwner {
  /** An object that must not be garbage collected before the delivery. */
  readonly owner: object;
  /** Whether the value outlives this process. */
  readonly outlasting: boolean;
  /** Returns a loan whose value was not accepted. */
  takeBack(loan: Loan): void;
  /** Settles a loan that can never be handled: a dead letter with `maxAttempts`, dropped without. */
  refuse(loan: Loan, reason: string): void;
  /** Called when the delivery is settled. */
  settled(delivery: object): void;
}

/**
 * A received value on loan, from {@linkcode Channel.receive}. No other consumer receives the value unless the delivery is
 * released, or this process dies. A delivery is settled once, by `accept` or `release`; later calls do nothing.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * await using jobs = new Channel<string>();
 * await jobs.put("render");
 *
 * await using delivery = await jobs.receive(); // released at the end of the block unless accepted
 * console.log(delivery.value, delivery.attempts); // "render", 1
 * delivery.accept();
 * ```
 */
export class Delivery<T = unknown> implements AsyncDisposable {
  /** The value that was put. */
  readonly value: T;
  /** Whether the value may have been received before. */
  readonly redelivered: boolean;
  /**
   * How often the value has been received, this time included: 1, 2, …. RabbitMQ reports only whether the value was received
   * before (1 or 2), unless the handle has `maxAttempts`, or the handle that released the value had it.
   */
  readonly attempts: number;
  /** The reason why the value is a dead letter; undefined if it is not. */
  readonly reason: string | undefined;
  readonly #loan: Loan;
  readonly #owner: DeliveryOwner;
  #settled = false;
  #delay: ReturnType<typeof setTimeout> | undefined;

  /** Used by {@linkcode Channel.receive}. */
  constructor(value: T, loan: Loan, owner: DeliveryOwner) {
    this.value = value;
    this.redelivered = loan.redelivered || loan.message.copy !== undefined;
    this.attempts = loan.attempts;
    this.reason = loan.message.reason;
    this.#loan = loan;
    this.#owner = owner;
  }

  /**
   * Removes the value from the channel. The acknowledgement may be lost with the connection or the process; the value is
   * then delivered again.
   */
  accept(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#loan.accept();
    this.#owner.settled(this);
  }

  /**
   * Returns the value to its place in the channel. With `maxAttempts` on RabbitMQ it goes to the end of the channel. After
   * the last of `maxAttempts` attempts it becomes a dead letter.
   *
   * @throws {ChannelConfigError} for an invalid delay
   */
  release(options: ReleaseOptions = none): void {
    releaseSignature.check(options, arguments.length);
    const { delay = 0 } = options;
    if (this.#settled) return;
    this.#settled = true;
    if (delay === 0) return this.#return();
    this.#delay = setTimeout(() => this.#return(), delay);
    if (this.#owner.outlasting) unref(this.#delay);
  }

  /** Releases the value unless it is settled. */
  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }

  /** Releases the value now, also if its release is delayed, because the handle is closed. */
  static end(delivery: Delivery): void {
    if (delivery.#delay === undefined) return delivery.release();
    clearTimeout(delivery.#delay);
    delivery.#return();
  }

  /** Removes the value from the channel, after its message was put elsewhere under its id. */
  static moved(delivery: Delivery): void {
    if (delivery.#settled) return;
    delivery.#settled = true;
    delivery.#loan.accept(true);
    delivery.#owner.settled(delivery);
  }

  /** Returns the loan of a delivery. */
  static loanOf(delivery: Delivery): Loan {
    return delivery.#loan;
  }

  /** Settles a value that can never be handled: a dead letter with `maxAttempts`, dropped without. */
  static refuse(delivery: Delivery, reason: string): void {
    if (delivery.#settled) return;
    delivery.#settled = true;
    delivery.#owner.refuse(delivery.#loan, reason);
    delivery.#owner.settled(delivery);
  }

  #return(): void {
    this.#owner.takeBack(this.#loan);
    this.#owner.settled(this);
  }
}
