import type { SharedConnection } from "../connection/shared_connection.ts";
import { copyOfError, errorOfValue } from "../shared/error_copies.ts";
import { ChannelClosedError } from "../shared/errors.ts";
import { withValue } from "../shared/put_errors.ts";
import type { Link, Message } from "../transports/transport.ts";
import type { PutTarget } from "./contracts.ts";
import { type EncodedValue, encodeValue } from "./encoded_value.ts";
import { type Call, isAbort, type OperationOptions, type Pending } from "./operation.ts";
import { type PendingPut, Put, TryPut, type TryPutOutcome } from "./put.ts";
import { checkTerms, type PutOptions, type Terms, termsOf } from "./put_options.ts";

/**
 * The puts of one handle.
 *
 * Invariant: values are sent in the order of the calls. A put that cannot be sent at its call, because the handle is not
 * attached or a channel inside the value does not exist yet, delays the puts that follow.
 */
export class PutQueue {
  /** The puts that are not settled. */
  readonly pending: Set<PendingPut> = new Set();
  readonly #handle: PutTarget;
  /** Resolves when the last delayed put was sent or has failed; undefined if no put is delayed. */
  #delayed: Promise<void> | undefined;

  constructor(handle: PutTarget) {
    this.#handle = handle;
  }

  /** Resolves when all earlier puts were sent or have failed. Never rejects. */
  get sent(): Promise<void> {
    return this.#delayed ?? Promise.resolve();
  }

  /** Recalls every pending put that can be recalled, and returns these. */
  recalled(): PendingPut[] {
    return [...this.pending].filter((put) => put.recall());
  }

  /** @param owner an object that must not be garbage collected while the put is pending; the same below */
  put(owner: object, value: unknown, options: PutOptions): Promise<void> {
    return this.#begin("put", () => this.#newPut(owner, options, value), value, options);
  }

  tryPut(
    owner: object,
    value: unknown,
    options: OperationOptions,
  ): Promise<TryPutOutcome | "closed"> {
    const make = () => this.newTryPut("tryPut", owner, options, value);
    return this.#begin<TryPutOutcome>("tryPut", make, value, options).catch((error) => {
      if (error instanceof ChannelClosedError && error.messageId === undefined) return "closed";
      throw error;
    });
  }

  /** Puts a message unchanged. */
  forward(message: Message, options: OperationOptions): Promise<void> {
    try {
      this.#handle.check("put", options);
    } catch (error) {
      return Promise.reject(error);
    }
    const put = this.#newPut(this.#handle, options);
    this.#handle.withLink(put, (link) => put.send(link, message));
    return put.promise;
  }

  /** Puts a value that is encoded already, and whose channels exist. */
  putEncoded(owner: object, encoded: EncodedValue, options: OperationOptions): Promise<void> {
    try {
      this.#handle.check("put", options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#send(this.#newPut(owner, options), encoded, undefined);
  }

  /**
   * Puts a value that is encoded already, unless that would wait for room. The caller gives the put up.
   *
   * @throws {ChannelClosedError} if the handle is closed
   */
  tryPutEncoded(owner: object, encoded: EncodedValue): TryPut {
    this.#handle.check("put", {});
    const put = this.newTryPut("put", owner, {}, undefined);
    this.#send(put, encoded, undefined);
    return put;
  }

  /** Creates the channels inside an encoded value that do not exist yet. */
  async makeKnown(owner: object, encoded: EncodedValue, options: OperationOptions): Promise<void> {
    const { connection } = this.#handle;
    const unknown = encoded.carried.filter((handle) => !handle.isKnown(connection));
    if (unknown.length === 0) return;
    const creation = this.#handle.begin<void>("put", owner, options);
    Promise.all(unknown.map((handle) => handle.makeKnown(creation, connection))).then(
      () => creation.resolve(),
      (error) => creation.reject(error),
    );
    await creation.promise;
  }

  /** Reports whether a put of the value could be sent at once. */
  isReady(encoded: EncodedValue | Promise<EncodedValue>): encoded is EncodedValue {
    const { link, connection } = this.#handle;
    return link !== undefined && this.#delayed === undefined && !(encoded instanceof Promise) &&
      encoded.carried.every((handle) => handle.isKnown(connection));
  }

  /** Resolves when the value could be sent, after all earlier puts. */
  async ready(
    encoded: EncodedValue | Promise<EncodedValue>,
    operation: Pending,
  ): Promise<EncodedValue> {
    const { sent } = this;
    await this.#prepare(encoded, operation);
    await sent;
    return await encoded;
  }

  newTryPut(action: string, owner: object, options: OperationOptions, value: unknown): TryPut {
    const put: TryPut = new TryPut(
      this.#call(action, owner, options, () => put),
      options,
      value,
    );
    return put;
  }

  #begin<R>(
    action: string,
    make: () => Put<R>,
    value: unknown,
    options: PutOptions,
  ): Promise<R> {
    let encoded: EncodedValue | Promise<EncodedValue>;
    let terms: Terms | undefined;
    try {
      this.#handle.check(action, options);
      terms = termsOf(options);
      encoded = encodeValue(value, this.#handle);
    } catch (error) {
      const isOurs = !isAbort(error, options);
      return Promise.reject(isOurs ? withValue(errorOfValue(action, error), value) : error);
    }
    return this.#send(make(), encoded, terms);
  }

  #send<R>(
    put: Put<R>,
    encoded: EncodedValue | Promise<EncodedValue>,
    terms: Terms | undefined,
  ): Promise<R> {
    if (terms === undefined && this.isReady(encoded)) {
      put.send(this.#handle.link!, encoded.message);
    } else {
      const delayed = this.#sendDelayed(encoded, put, this.sent, terms).then(() => {
        if (this.#delayed === delayed) this.#delayed = undefined;
      });
      this.#delayed = delayed;
    }
    return put.promise;
  }

  async #sendDelayed(
    encoded: EncodedValue | Promise<EncodedValue>,
    put: PendingPut,
    previous: Promise<void>,
    terms: Terms | undefined,
  ): Promise<void> {
    try {
      const { link, message } = await this.#prepare(encoded, put);
      // The transport's features are known only once the handle has attached.
      if (terms !== undefined) checkTerms(terms, this.#handle.connection as SharedConnection);
      await previous;
      put.send(link, terms === undefined ? message : { ...message, ...terms });
    } catch (error) {
      put.reject(copyOfError(error));
      await previous;
    }
  }

  /** Attaches, and creates the channels inside the value. */
  async #prepare(
    encoded: EncodedValue | Promise<EncodedValue>,
    operation: Pending,
  ): Promise<{ link: Link; message: Message }> {
    const attaching = this.#handle.attachFor(operation);
    attaching.catch(() => {}); // it is awaited below, unless the next line throws
    const { message, carried } = await encoded;
    if (carried.length > 0) {
      const connection = await this.#handle.resolved();
      await Promise.all(carried.map((handle) => handle.makeKnown(operation, connection)));
    }
    const { link } = await attaching;
    return { link, message };
  }

  #newPut(owner: object, options: OperationOptions, value?: unknown): Put {
    const put: Put = new Put(this.#call("put", owner, options, () => put), options, value);
    return put;
  }

  #call(
    action: string,
    owner: object,
    options: OperationOptions,
    put: () => PendingPut,
  ): Call {
    const timedOut = () => this.#handle.timeoutError(action, options, put().recall());
    return { action, owner, pending: this.pending, timedOut };
  }
}
