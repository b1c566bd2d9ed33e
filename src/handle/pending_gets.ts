import type { SharedConnection } from "../connection/shared_connection.ts";
import { current } from "../shared/instrumentation.ts";
import type { ChannelError } from "../shared/errors.ts";
import type { Claim, Message } from "../transports/transport.ts";
import type { GetSource } from "./contracts.ts";
import { newDeadLetterError } from "./dead_letters.ts";
import type { Delivery } from "./delivery.ts";
import { GetClaim, ReceiveClaim } from "./get_claims.ts";
import type { Operation, OperationOptions, Pending } from "./operation.ts";
import { Unsettled } from "./unsettled.ts";

/**
 * The gets of one handle, and the deliveries that are not settled.
 *
 * Invariant: a get that is given up withdraws its claim. A loan that crosses the withdrawal is released.
 */
export class PendingGets {
  /** The gets that are not settled. */
  readonly pending: Set<Pending> = new Set();
  readonly #handle: GetSource;
  readonly #hasMaxAttempts: boolean;
  readonly #unsettled: Unsettled;
  /** The error that the next receive rejects with: a dead letter could not be put. */
  #deadLetterError: ChannelError | undefined;

  /** @param maxAttempts how often a value is received before it becomes a dead letter; undefined for no limit */
  constructor(handle: GetSource, maxAttempts: number | undefined) {
    this.#handle = handle;
    this.#hasMaxAttempts = maxAttempts !== undefined;
    this.#unsettled = new Unsettled(maxAttempts, {
      outlasting: () => (handle.connection as SharedConnection).reach !== "isolate",
      openDeadLetters: () => handle.deadLetters(),
      deadLetterTimeout: () => Math.min(handle.retryTimeout, longestDeadLetterTimeout),
      deadLettered: (reason) =>
        handle.report(`channel ${handle.title}: a value is now a dead letter: ${reason}`, "warn"),
      deadLetterFailed: (cause) => this.#onDeadLetterFailed(cause),
    });
  }

  /**
   * @param owner an object that must not be garbage collected while the get is pending; the same below
   * @param decode returns the value of a message; the get rejects with its error, and the message is accepted
   * @throws the errors of `check`
   */
  get<T>(
    owner: object,
    decode: (message: Message) => T,
    options: OperationOptions,
    action = "get",
  ): Operation<T> {
    this.#handle.check(action, options);
    const get = this.#newGet<T>(action, owner, options);
    this.#claim(get, new GetClaim(get, decode), options);
    return get;
  }

  /**
   * @param decode returns the value of a message, without sharing its bytes; the receive rejects with its error
   * @param group a set that contains the delivery until it is settled
   * @throws the errors of `check`
   */
  receive<T>(
    owner: object,
    decode: (message: Message) => T,
    options: OperationOptions,
    group?: Set<Delivery>,
    action = "receive",
  ): Operation<Delivery<T>> {
    this.#handle.check(action, options);
    if (this.#deadLetterError !== undefined) {
      const error = this.#deadLetterError;
      this.#deadLetterError = undefined;
      throw error;
    }
    const receive = this.#newGet<Delivery<T>>(action, owner, options);
    const claim = new ReceiveClaim<Delivery<T>>(
      receive,
      this.#hasMaxAttempts,
      (loan) => this.#unsettled.deliver(owner, loan, decode, group),
      (again) => this.#claimWhenRoom(receive, again, options),
    );
    this.#claimWhenRoom(receive, claim, options);
    return receive;
  }

  /** Releases every delivery. Each dead letter has one more attempt to be put. */
  end(): void {
    this.#unsettled.end();
  }

  /** Resolves when every dead letter is put, or its message was released. */
  settled(): Promise<void> {
    return this.#unsettled.settled();
  }

  close(): Promise<void> {
    return this.#unsettled.close();
  }

  /** Makes an operation that consumes a message. */
  #newGet<T>(action: string, owner: object, options: OperationOptions): Operation<T> {
    const timedOut = () => this.#handle.timeoutError(action, options);
    return this.#handle.newOperation({ action, owner, pending: this.pending, timedOut }, options);
  }

  /** Claims a message, once few enough dead letters are being put. */
  #claimWhenRoom<T>(operation: Operation<T>, claim: Claim, options: OperationOptions): void {
    if (!this.#unsettled.isFull) return this.#claim(operation, claim, options);
    this.#unsettled.room().then(() => operation.settled || this.#claim(operation, claim, options));
  }

  /** Claims a message; with a timeout of 0, only one that waits in the channel now. */
  #claim<T>(operation: Operation<T>, claim: Claim, options: OperationOptions): void {
    if (current) claim = current.take(operation, claim);
    this.#handle.withLink(operation, (link) => {
      if (options.timeout === 0) {
        link.tryTake(claim.counted).then(
          (loan) => {
            if (loan !== undefined) claim.deliver(loan);
            else operation.reject(this.#handle.timeoutError(operation.action, options));
          },
          (error) => operation.reject(error),
        );
      } else {
        operation.onGiveUp = () => link.withdraw(claim);
        link.take(claim);
      }
    });
  }

  /** Rejects the receive that waits, or else the next one. */
  #onDeadLetterFailed(cause: unknown): void {
    const error = newDeadLetterError(this.#handle, cause);
    this.#handle.report(error.message);
    for (const operation of this.pending) {
      if (operation.action === "receive") return operation.giveUp(error);
    }
    this.#deadLetterError = error;
  }
}

/** The longest time in milliseconds for which a dead letter is retried. */
const longestDeadLetterTimeout = 60_000;
