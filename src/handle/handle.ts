import type { Attached, Attachment } from "../connection/attachment.ts";
import { PendingConnection, type Report } from "../connection/configured.ts";
import { SharedConnection } from "../connection/shared_connection.ts";
import type { Encoding } from "../encoding/encoding.ts";
import { copyOfError } from "../shared/error_copies.ts";
import type {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelError,
  CloseReason,
} from "../shared/errors.ts";
import { closeTimeout, defaultRetryTimeout, reachTimeout, within } from "../shared/timeouts.ts";
import { isRequestBound } from "../shared/request_bound.ts";
import { deadLettersName } from "../shared/names.ts";
import { closeAllEvent } from "../transports/close_all_event.ts";
import type { ChannelStats, Link } from "../transports/transport.ts";
import { Attaching } from "./attaching.ts";
import { carrierOf } from "./channel_registry.ts";
import type { CloseAllOptions, GetSource, PutTarget, Rejectable } from "./contracts.ts";
import { PendingGets } from "./pending_gets.ts";
import {
  allSettled,
  type Call,
  Operation,
  type OperationOptions,
  type Pending,
} from "./operation.ts";
import { closedError, timeoutError, titleOf, unansweredError } from "./outcomes.ts";
import { Put } from "./put.ts";
import { PutQueue } from "./put_queue.ts";
import { whenEmpty } from "./when_empty.ts";

/** A listener of the events that are announced on a channel. */
export interface AnnouncementListener {
  heard(event: Uint8Array): void;
  /** Called when `count` events were lost. */
  lost?(count: number): void;
}

/** The options of {@linkcode Handle}. */
export interface HandleOptions {
  readonly name: string;
  readonly connection: SharedConnection | PendingConnection;
  /** The encoding of the values that are put. */
  readonly encoding: Encoding;
  /** Whether errors are encoded with their stacks. */
  readonly stacks: boolean;
  /** Milliseconds; absent: the `retryTimeout` of the connection. */
  readonly retryTimeout?: number | undefined;
  /** Milliseconds for which the channel outlives its use; absent: it lasts until it is deleted. */
  readonly lease?: number | undefined;
  /** Whether the channel, if it is created, is replicated in a cluster. */
  readonly quorum?: boolean;
  /** The number of values that the channel, if it is created, holds; absent: no limit. */
  readonly capacity?: number | undefined;
  /** How often a value is received before it becomes a dead letter; absent: no limit. */
  readonly maxAttempts?: number | undefined;
  /** Whether the channel is created if it does not exist. */
  readonly create: boolean;
  /** Whether disposing the handle deletes the channel. */
  readonly owned: boolean;
  /** Reports failures that reject no operation. */
  readonly report?: Report | undefined;
  /** Whether the channel carries replies, which an instrumentation does not report as values of their own. */
  readonly isReply?: boolean;
}

/**
 * The work of a Channel: attaching, waiting, closing. It is a class of its own so that a Channel that the program has
 * forgotten can be garbage collected; then its handle, which the attachment references, is closed.
 *
 * Invariants: no I/O happens before the first operation. A closed handle stays closed, has no pending get, and starts
 * no operation. Values are put in the order of the calls.
 */
export class Handle implements Attached, PutTarget, GetSource {
  readonly name: string;
  connection: SharedConnection | PendingConnection;
  readonly puts: PutQueue;
  readonly gets: PendingGets;
  /** Functions that are called once, when the handle is closed; closing waits for the promises that they return. */
  readonly onClosed: Set<() => Promise<void> | void> = new Set();
  readonly listeners: Set<AnnouncementListener> = new Set();
  readonly #options: HandleOptions;
  readonly #attaching: Attaching;
  /** Whether other handles may have been made from this one, so that the channel may exist although this is new. */
  #isShared = false;
  /** Whether the transport has surely created the channel. */
  #isCreated = false;
  #closed: CloseReason | undefined;
  #closing: Promise<void> | undefined;
  /** Resolves when the functions in `onClosed` are done. */
  #ending: Promise<unknown> | undefined;
  /** The pending operations other than puts, gets and `#closings`. */
  readonly #operations = new Set<Pending>();
  /** The pending operations that close the channel for all handles. They may succeed after another handle's has. */
  readonly #closings = new Set<Pending>();

  constructor(options: HandleOptions) {
    this.#options = options;
    this.name = options.name;
    this.connection = options.connection;
    this.puts = new PutQueue(this);
    this.gets = new PendingGets(this, options.maxAttempts);
    this.#attaching = new Attaching((signal) => this.#attach(signal));
    // A failure rejects each operation that needs the connection.
    if (options.connection instanceof PendingConnection) this.resolved().catch(() => {});
  }

  async resolved(): Promise<SharedConnection> {
    if (this.connection instanceof PendingConnection) {
      this.connection = await this.connection.resolved();
    }
    return this.connection;
  }

  get encoding(): Encoding {
    return this.#options.encoding;
  }

  get stacks(): boolean {
    return this.#options.stacks;
  }

  /** Returns the options of a second handle on the same channel. */
  share(): HandleOptions {
    this.#isShared = true;
    return { ...this.options, owned: false };
  }

  get options(): HandleOptions {
    return { ...this.#options, connection: this.connection };
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  get link(): Link | undefined {
    return this.#attaching.attachment?.link;
  }

  /** Whether the handle is attached and open. */
  get isAttached(): boolean {
    return this.link !== undefined && !this.closed;
  }

  /** The channel's name and address, for people. */
  get title(): string {
    return titleOf(this);
  }

  /** Returns the error that an operation of a closed handle rejects with; undefined if the handle is open. */
  closure(action: string): ChannelClosedError | undefined {
    return this.#closed === undefined ? undefined : this.#closedError(action, this.#closed);
  }

  /**
   * Begins an operation that waits for something other than a value of the channel, until the handle is closed.
   *
   * @param owner an object that must not be garbage collected while the operation is pending; the same below
   */
  begin<T>(action: string, owner: object, options: OperationOptions = {}): Operation<T> {
    return new Operation(this.#call(action, owner, this.#operations, options), options);
  }

  isKnown(by: SharedConnection | PendingConnection): boolean {
    const { create, lease, owned } = this.#options;
    if (!create || lease === undefined && !owned) return true;
    // What is sent on the same connection comes after the channel.
    return by === this.connection ? this.#attaching.hasAttached : this.#isCreated;
  }

  async makeKnown(operation: Pending, by: SharedConnection | PendingConnection): Promise<void> {
    if (this.isKnown(by)) return;
    const { link } = await this.attachFor(operation);
    if (by === this.connection) return;
    await link.catchUp();
    this.#isCreated = true;
  }

  /** Makes a handle on the dead-letter queue. */
  deadLetters(): Handle {
    const { maxAttempts: _, capacity: _any, ...options } = this.options;
    return new Handle({
      ...options,
      name: deadLettersName(this.name),
      create: true,
      owned: false,
    });
  }

  /** As {@linkcode Report}. */
  report(...what: Parameters<Report>): void {
    this.#options.report?.(...what);
  }

  /** Attaches the handle, so that it receives announced events. */
  attach(owner: object): Promise<void> {
    return this.control("attach", owner, {}, () => Promise.resolve());
  }

  /** Announces an event to every other handle on the channel. */
  announce(owner: object, event: Uint8Array): Promise<void> {
    return this.control("announce", owner, {}, (attachment) => {
      attachment.announced(event, this);
      return attachment.link.announce(event);
    });
  }

  announced(event: Uint8Array): void {
    for (const listener of [...this.listeners]) listener.heard(event);
  }

  missed(count: number): void {
    for (const listener of [...this.listeners]) listener.lost?.(count);
  }

  depth(owner: object, options: OperationOptions): Promise<number> {
    return this.control("depth", owner, options, ({ link }) => link.depth());
  }

  stats(owner: object, options: OperationOptions): Promise<ChannelStats> {
    return this.control(
      "stats",
      owner,
      options,
      async ({ link }) => await link.stats?.() ?? { depth: await link.depth() },
    );
  }

  /** Resolves when the channel is empty. With a timeout of 0, the depth is read once. */
  whenEmpty(owner: object, options: OperationOptions): Promise<void> {
    const action = "whenEmpty";
    if (options.timeout !== 0) {
      return this.control(action, owner, options, ({ link }, control) => whenEmpty(link, control));
    }
    return this.control(action, owner, options, async ({ link }) => {
      if (await link.depth() > 0) throw this.timeoutError(action, options);
    });
  }

  async closeAll(owner: object, options: CloseAllOptions): Promise<void> {
    if (this.#closed === "closeAll" || this.#closed === "delete") return;
    if (options.drain) return await this.#drain(owner, options);
    await this.control<void>("closeAll", owner, options, async (attachment, control) => {
      await attachment.link.announce(closeAllEvent, true);
      control.resolve(); // the handle does not wait for what has settled
      attachment.terminate("closeAll");
    }, this.#closings);
  }

  async #drain(owner: object, options: OperationOptions): Promise<void> {
    const { sent } = this.puts;
    await this.control("closeAll", owner, options, async ({ link }) => {
      await sent;
      await link.drain();
    }, this.#closings);
  }

  async delete(owner: object, options: OperationOptions): Promise<void> {
    if (this.#closed === "delete") return;
    await this.control<void>("delete", owner, options, async (attachment, control) => {
      await attachment.link.delete();
      control.resolve(); // the handle does not wait for what has settled
      attachment.terminate("delete");
    }, this.#closings);
  }

  /** Runs an operation that acts on the attachment. */
  control<T>(
    action: string,
    owner: object,
    options: OperationOptions,
    act: (attachment: Attachment, control: Operation<T>) => Promise<T>,
    pending: Set<Pending> = this.#operations,
  ): Promise<T> {
    try {
      this.check(action, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const control = this.newOperation<T>(this.#call(action, owner, pending, options), options);
    this.attachFor(control).then((attachment) => act(attachment, control)).then(
      (result) => control.resolve(result),
      (error) => control.reject(copyOfError(error)),
    );
    return control.promise;
  }

  /** Makes an operation. With a timeout of 0, it does not wait for a value, but for the broker's answer. */
  newOperation<T>(call: Call, options: OperationOptions): Operation<T> {
    if (options.timeout !== 0) return new Operation<T>(call, options);
    const operation = new Operation<T>(call, { ...options, timeout: Infinity });
    operation.limit(reachTimeout, () => this.unansweredError(call.action, reachTimeout));
    return operation;
  }

  check(action: string, options: OperationOptions): void {
    options.signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closedError(action, this.#closed);
    if (isRequestBound && this.connection instanceof SharedConnection) {
      this.connection.checkRequest(action);
    }
  }

  withLink(operation: Rejectable, use: (link: Link) => void): void {
    const { link } = this;
    if (link !== undefined) return use(link);
    this.#attaching.wait({
      operation,
      use: ({ link }) => use(link),
      fail: (error) => operation.reject(copyOfError(error)),
    });
  }

  attachFor(operation: Pending): Promise<Attachment> {
    return new Promise((use, fail) => this.#attaching.wait({ operation, use, fail }));
  }

  async #attach(signal: AbortSignal): Promise<Attachment> {
    const { create, lease, quorum, capacity } = this.#options;
    const connection = await this.resolved();
    const attachment = await connection.attach(this, this.name, {
      create,
      retryTimeout: this.retryTimeout,
      ...(lease === undefined ? {} : { lease }),
      ...(quorum ? { quorum } : {}),
      ...(capacity === undefined ? {} : { capacity }),
      isNew: this.#options.owned && !this.#attaching.hasAttached && !this.#isShared,
    }, signal);
    if (this.closed && this.puts.pending.size === 0) {
      attachment.remove(this);
      throw this.closure("attach");
    }
    return attachment;
  }

  joined(attachment: Attachment): void {
    this.#attaching.attached(attachment);
  }

  /** Milliseconds. The configuration's value is known once the connection is. */
  get retryTimeout(): number {
    const { connection } = this;
    const configured = connection instanceof PendingConnection
      ? undefined
      : connection.retryTimeout;
    return this.#options.retryTimeout ?? configured ?? defaultRetryTimeout;
  }

  /** Detaches the handle: pending puts are sent first, gets are rejected. Bounded in time; never rejects. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closed ??= "close";
    this.#giveUp(this.gets.pending);
    this.#giveUp(this.#operations);
    this.#giveUp(this.#closings);
    this.gets.end();
    const ended = this.#end();
    const settled = this.#settle(); // each put settles before the handle is closed
    await Promise.all([
      settled,
      within(closeTimeout, Promise.all([ended, this.#detach(settled)])),
    ]);
    await this.gets.close();
  }

  async #detach(settled: Promise<void>): Promise<void> {
    await Promise.all([settled, this.gets.settled()]);
    const attachment = await this.#attaching.outcome();
    await attachment?.remove(this);
  }

  /** Closes the handle, and deletes the channel if this handle made it without a name. Never rejects. */
  async dispose(owner: object): Promise<void> {
    if (this.#options.owned && this.#closed !== "delete" && this.#mayHaveCreated) {
      const handle = this.closed ? new Handle(this.options) : this;
      // If the broker is unreachable, the lease ends the channel.
      await handle.delete(owner, { timeout: closeTimeout }).catch(() => {});
      await handle.close();
    }
    await this.close();
  }

  /** Whether the channel may exist because of this handle. */
  get #mayHaveCreated(): boolean {
    const { hasAttached, isAttaching, wasAbandoned } = this.#attaching;
    if (hasAttached || isAttaching) return true;
    const { connection } = this;
    return wasAbandoned &&
      (connection instanceof PendingConnection || connection.trouble === undefined);
  }

  /** Closes the handle, because the channel was closed for all. The transport still settles what was sent. */
  async terminate(reason: CloseReason): Promise<void> {
    this.#closed ??= reason;
    this.#attaching.end();
    this.#giveUp(this.gets.pending);
    this.#giveUp(this.#operations);
    this.#giveUp(this.puts.recalled());
    this.gets.end();
    this.#end();
    await Promise.all([this.#settle(), this.gets.settled()]);
    await this.gets.close();
  }

  #end(): Promise<unknown> {
    return this.#ending ??= Promise.all([...this.onClosed].map((listener) => listener()));
  }

  /** Waits for the transport's answers to what was sent, then gives up the puts that have none. */
  async #settle(): Promise<void> {
    const sent: Pending[] = [...this.puts.pending, ...this.#closings];
    if (sent.length === 0) return;
    await within(closeTimeout, allSettled(sent));
    this.#giveUp(this.puts.pending);
  }

  #giveUp(operations: Iterable<Pending>): void {
    const reason = this.#closed!;
    for (const operation of operations) {
      const isOutcomeUnknown = operation instanceof Put && !operation.recall();
      operation.giveUp(this.#closedError(operation.action, reason, isOutcomeUnknown));
    }
  }

  #call(
    action: string,
    owner: object,
    pending: Set<Pending>,
    options: OperationOptions,
  ): Call {
    return { action, owner, pending, timedOut: () => this.timeoutError(action, options) };
  }

  #closedError(action: string, reason: CloseReason, isOutcomeUnknown = false): ChannelClosedError {
    return closedError(this, action, reason, isOutcomeUnknown);
  }

  timeoutError(action: string, { timeout }: OperationOptions, wasRecalled = true): ChannelError {
    return timeoutError(this, action, timeout, wasRecalled);
  }

  unansweredError(action: string, timeout: number): ChannelConnectionError {
    return unansweredError(this, action, timeout);
  }
}

/** Returns the handle of a channel; undefined for any other object. */
export function handleOf(object: object): Handle | undefined {
  const carrier = carrierOf(object);
  return carrier instanceof Handle ? carrier : undefined;
}
