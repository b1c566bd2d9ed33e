import { longestTimer, unref } from "../shared/timers.ts";
import { milliseconds, none, type Rules, Signature } from "../shared/options.ts";
import type { Loan } from "../transports/transport.ts";

/** How a delivery is given back. */
export interface ReleaseOptions {
  /**
   * Milliseconds after which others may receive it, default 0. This process keeps it meanwhile: if it
   * ends or closes the handle before, the value is free at once.
   */
  readonly delay?: number;
}

const releaseSignature: Signature = new Signature(
  "release",
  1,
  { delay: milliseconds(0, longestTimer) } satisfies Rules<ReleaseOptions>,
  "release({ delay: 1000 })",
);

/** What a delivery needs of its handle. */
export interface Custodian {
  /** What must not be collected while the delivery is there. */
  readonly owner: object;
  /** Whether a value outlives this process. */
  readonly outlasting: boolean;
  /** Gives a loan back whose value was not accepted. */
  takeBack(loan: Loan): void;
  /** Makes a dead letter of a loan that can never be handled, where there are such; else takes it. */
  refuse(loan: Loan, reason: string): void;
  /** The delivery is settled. */
  settled(delivery: object): void;
}

/**
 * A value on loan, from {@linkcode Channel.receive}: nobody else is given it until it is released, or
 * the process that holds it dies. It is settled once; later calls do nothing.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * await using jobs = new Channel<string>();
 * await jobs.put("render");
 *
 * await using delivery = await jobs.receive(); // released at the end of the block, if not accepted
 * console.log(delivery.value, delivery.attempts); // "render", 1
 * delivery.accept();
 * ```
 */
export class Delivery<T = unknown> implements AsyncDisposable {
  /** What was put. */
  readonly value: T;
  /** Whether someone may have received it before. */
  readonly redelivered: boolean;
  /**
   * How often it has been received, this time included: 1, 2 …. RabbitMQ tells only the first time from
   * later ones (1, 2), unless the handle has `maxAttempts`, or whoever released it had.
   */
  readonly attempts: number;
  /** Why it is among the dead letters; undefined elsewhere. */
  readonly reason: string | undefined;
  readonly #loan: Loan;
  readonly #custodian: Custodian;
  #settled = false;
  #delay: ReturnType<typeof setTimeout> | undefined;

  /** Deliveries are made by {@linkcode Channel.receive}. */
  constructor(value: T, loan: Loan, custodian: Custodian) {
    this.value = value;
    this.redelivered = loan.redelivered;
    this.attempts = loan.attempts;
    this.reason = loan.message.reason;
    this.#loan = loan;
    this.#custodian = custodian;
  }

  /**
   * Takes the value for good. Where the connection is lost or the process killed in the same moment, it
   * may be delivered again.
   */
  accept(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#loan.accept();
    this.#custodian.settled(this);
  }

  /**
   * Gives the value back: to its old place in the channel; with `maxAttempts` on RabbitMQ, to the end,
   * and after the last attempt to the dead letters.
   *
   * @throws {ChannelConfigError} for a delay that is none
   */
  release(options: ReleaseOptions = none): void {
    releaseSignature.check(options, arguments.length);
    const { delay = 0 } = options;
    if (this.#settled) return;
    this.#settled = true;
    if (delay === 0) return this.#giveBack();
    this.#delay = setTimeout(() => this.#giveBack(), delay);
    if (this.#custodian.outlasting) unref(this.#delay);
  }

  /** Gives the value back unless it was accepted, or released already. */
  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }

  /** Gives the value back now, also where that was to be later: the handle is closed. */
  static end(delivery: Delivery): void {
    if (delivery.#delay === undefined) return delivery.release();
    clearTimeout(delivery.#delay);
    delivery.#giveBack();
  }

  /** Says that the value can never be handled: it is a dead letter, where there are such, or dropped. */
  static refuse(delivery: Delivery, reason: string): void {
    if (delivery.#settled) return;
    delivery.#settled = true;
    delivery.#custodian.refuse(delivery.#loan, reason);
    delivery.#custodian.settled(delivery);
  }

  #giveBack(): void {
    this.#custodian.takeBack(this.#loan);
    this.#custodian.settled(this);
  }
}
