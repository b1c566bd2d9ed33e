import type { SharedConnection } from "../connection/shared_connection.ts";
import { copyOfError, errorOfValue } from "../shared/error_copies.ts";
import { ChannelClosedError } from "../shared/errors.ts";
import { withValue } from "../shared/put_errors.ts";
import type { Handle } from "./handle.ts";
import { pack, type Parcel } from "../encoding/message.ts";
import { type Call, isAbort, type OperationOptions, type Pending } from "./operation.ts";
import { checkTerms, type PutOptions, type Terms, termsOf } from "./put_options.ts";
import { type PendingPut, Put, TryPut, type TryPutOutcome } from "./put.ts";
import type { Link, Message } from "../transports/transport.ts";

/** The puts of one handle, which are sent in the order of the calls. */
export class Puts {
  /** Those that are not settled. */
  readonly pending: Set<PendingPut> = new Set();
  readonly #handle: Handle;
  /** The last put that could not be sent at its call; whatever is put meanwhile follows it. */
  #late: Promise<void> | undefined;

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** Resolves when all that was put before the call is sent, or will not be. Never rejects. */
  get sent(): Promise<void> {
    return this.#late ?? Promise.resolve();
  }

  /** Takes back what can be, and tells which. */
  recalled(): PendingPut[] {
    return [...this.pending].filter((put) => put.recall());
  }

  /** @param owner what must not be collected while the put is pending; so below */
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

  /** Puts a message as it is. */
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

  /** Puts what is packed already, and whose channels are known. */
  putParcel(owner: object, parcel: Parcel, options: OperationOptions): Promise<void> {
    return this.#beginParcel(() => this.#newPut(owner, options), parcel, options);
  }

  /**
   * The same, unless that would wait for room; it is the caller's to give it up.
   *
   * @throws {ChannelClosedError} if the handle is closed
   */
  tryParcel(owner: object, parcel: Parcel): TryPut {
    this.#handle.check("put", {});
    const put = this.newTryPut("put", owner, {}, undefined);
    this.#dispatch(put, parcel, undefined);
    return put;
  }

  #beginParcel<R>(make: () => Put<R>, parcel: Parcel, options: OperationOptions): Promise<R> {
    try {
      this.#handle.check("put", options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#dispatch(make(), parcel, undefined);
  }

  /** Creates the channels that a parcel names. */
  async makeKnown(owner: object, parcel: Parcel, options: OperationOptions): Promise<void> {
    const unknown = parcel.carried.filter((handle) => !handle.isKnown);
    if (unknown.length === 0) return;
    const making = this.#handle.interest<void>("put", owner, options);
    Promise.all(unknown.map((handle) => handle.makeKnown(making))).then(
      () => making.resolve(),
      (error) => making.reject(error),
    );
    await making.promise;
  }

  #begin<R>(
    action: string,
    make: () => Put<R>,
    value: unknown,
    options: PutOptions,
  ): Promise<R> {
    let parcel: Parcel | Promise<Parcel>;
    let terms: Terms | undefined;
    try {
      this.#handle.check(action, options);
      terms = termsOf(options);
      parcel = pack(value, this.#handle);
    } catch (error) {
      const isOurs = !isAbort(error, options);
      return Promise.reject(isOurs ? withValue(errorOfValue(action, error), value) : error);
    }
    return this.#dispatch(make(), parcel, terms);
  }

  #dispatch<R>(
    put: Put<R>,
    parcel: Parcel | Promise<Parcel>,
    terms: Terms | undefined,
  ): Promise<R> {
    if (terms === undefined && this.isReady(parcel)) {
      put.send(this.#handle.link!, parcel.message);
    } else {
      const late = this.#sendLate(parcel, put, this.sent, terms).then(() => {
        if (this.#late === late) this.#late = undefined;
      });
      this.#late = late;
    }
    return put.promise;
  }

  async #sendLate(
    parcel: Parcel | Promise<Parcel>,
    put: PendingPut,
    previous: Promise<void>,
    terms: Terms | undefined,
  ): Promise<void> {
    try {
      const { link, message } = await this.#prepare(parcel, put);
      // Only a handle that has attached knows what its transport can do.
      if (terms !== undefined) checkTerms(terms, this.#handle.connection as SharedConnection);
      await previous;
      put.send(link, terms === undefined ? message : { ...message, ...terms });
    } catch (error) {
      put.reject(copyOfError(error));
      await previous;
    }
  }

  /** Attaches, and creates the channels that the parcel names. */
  async #prepare(
    parcel: Parcel | Promise<Parcel>,
    operation: Pending,
  ): Promise<{ link: Link; message: Message }> {
    const attaching = this.#handle.attachFor(operation);
    attaching.catch(() => {}); // awaited below, unless the next line throws
    const { message, carried } = await parcel;
    await Promise.all(carried.map((handle) => handle.makeKnown(operation)));
    const { link } = await attaching;
    return { link, message };
  }

  /** Whether a put of the parcel could be sent at once. */
  isReady(parcel: Parcel | Promise<Parcel>): parcel is Parcel {
    return this.#handle.link !== undefined && this.#late === undefined &&
      !(parcel instanceof Promise) && parcel.carried.every((handle) => handle.isKnown);
  }

  /** Resolves when the parcel could be sent, after all that was put before. */
  async ready(parcel: Parcel | Promise<Parcel>, operation: Pending): Promise<Parcel> {
    const { sent } = this;
    await this.#prepare(parcel, operation);
    await sent;
    return await parcel;
  }

  #newPut(owner: object, options: OperationOptions, value?: unknown): Put {
    const put: Put = new Put(this.#call("put", owner, options, () => put), options, value);
    return put;
  }

  newTryPut(action: string, owner: object, options: OperationOptions, value: unknown): TryPut {
    const put: TryPut = new TryPut(
      this.#call(action, owner, options, () => put),
      options,
      value,
    );
    return put;
  }

  #call(
    action: string,
    owner: object,
    options: OperationOptions,
    put: () => PendingPut,
  ): Call {
    const timedOut = () => this.#handle.late(action, options, put().recall());
    return { action, owner, pending: this.pending, timedOut };
  }
}
