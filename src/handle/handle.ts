import { type Attached, type Attachment, closeAllEvent } from "../connection/attachment.ts";
import {
  LateConnection,
  type Report,
  type SharedConnection,
} from "../connection/shared_connection.ts";
import { Custody } from "./unsettled.ts";
import type { Delivery } from "./delivery.ts";
import { untilEmpty } from "./when_empty.ts";
import type { Encoding } from "../encoding/encoding.ts";
import { deletedText, drainedText, missingText } from "../shared/closed_errors.ts";
import { copyOfError } from "../shared/error_copies.ts";
import {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelError,
  ChannelTimeoutError,
  type CloseReason,
} from "../shared/errors.ts";
import { unknownOutcomeText } from "../shared/put_errors.ts";
import { deadLettersName } from "../shared/names.ts";
import {
  allSettled,
  type Call,
  Operation,
  type OperationOptions,
  type Pending,
} from "./operation.ts";
import type { PutOptions } from "./put_options.ts";
import { Puts } from "./put_queue.ts";
import { Get, Put, Receive } from "./put.ts";
import type { Claim, Link, Message } from "../transports/transport.ts";
import { closeTimeout, reachTimeout, within } from "../shared/timeouts.ts";

/** What `closeAll` takes. */
export interface CloseAllOptions extends OperationOptions {
  /** Whether consumers first get what was put before, and the channel stays closed until it is deleted. */
  readonly drain?: boolean;
}

/** Who hears announcements. */
export interface Hearer {
  hear(event: Uint8Array): void;
  /** So many did not arrive. */
  miss?(count: number): void;
}

/** What a handle is made from. */
export interface HandleOptions {
  readonly name: string;
  readonly connection: SharedConnection | LateConnection;
  /** How values are written. */
  readonly encoding: Encoding;
  /** Whether errors are sent with their stack. */
  readonly stacks: boolean;
  /** Milliseconds; absent: as the connection's configuration says. */
  readonly retryTimeout?: number | undefined;
  /** Milliseconds; absent: the channel lasts until it is deleted. */
  readonly lease?: number | undefined;
  /** Whether the channel is created for a cluster. */
  readonly quorum?: boolean;
  /** How many values a channel holds that is created now; absent: any number. */
  readonly capacity?: number | undefined;
  /** How often a value is received before it is a dead letter; absent: without limit. */
  readonly maxAttempts?: number | undefined;
  /** Whether to create the channel where it is missing. */
  readonly create: boolean;
  /** Whether disposing the handle deletes the channel. */
  readonly owned: boolean;
  /** Told what could not be done, and no operation is there to be rejected. */
  readonly report?: Report | undefined;
}

/**
 * What a Channel does: attaching, waiting, closing. It is apart from Channel so that a Channel that
 * the program has forgotten can be collected, and its handle, which the attachment knows, be closed.
 *
 * Invariants: no I/O before the first operation. Once closed it stays so, no get is pending and no
 * operation starts. Messages are put in the order of the calls.
 */
export class Handle implements Attached {
  readonly name: string;
  connection: SharedConnection | LateConnection;
  readonly #options: HandleOptions;
  #attachment: Attachment | undefined;
  #attaching: Promise<Attachment> | undefined;
  /** Aborted where nobody waits for the attachment any more. */
  #unwanted: AbortController | undefined;
  /** The operations that wait for the attachment. */
  readonly #wanting = new Set<Wanting>();
  /** Whether the channel has been attached to, and so has existed. */
  #existed = false;
  /** Whether attaching was given up on the way: what it makes may be there, and may not. */
  #wasGivenUp = false;
  /** Whether there may be other handles on it. */
  #isShared = false;
  #closed: CloseReason | undefined;
  #closing: Promise<void> | undefined;
  #ending: Promise<unknown> | undefined;
  readonly #gets = new Set<Pending>();
  readonly puts: Puts;
  /** What was received here and is not settled. */
  readonly #custody: Custody;
  /** What the next receive rejects with. */
  #unburied: ChannelError | undefined;
  /** Called once, when the handle takes no more operations; closing waits for what they return. */
  readonly onClosed: Set<() => Promise<void> | void> = new Set();
  /** What ends the channel for all handles: it goes on where one of the others was faster. */
  readonly #endings = new Set<Pending>();
  /** They hear what is announced and closes nothing. */
  readonly listeners: Set<Hearer> = new Set();

  constructor(options: HandleOptions) {
    this.#options = options;
    this.name = options.name;
    this.connection = options.connection;
    this.puts = new Puts(this);
    this.#custody = new Custody(options.maxAttempts, {
      outlasting: () => (this.connection as SharedConnection).reach !== "isolate",
      deadLetters: () => this.deadLetters(),
      patience: () => Math.min(this.#retryTimeout, longestPatience),
      unburied: (cause) => this.#onUnburied(cause),
    });
    if (options.connection instanceof LateConnection) this.known().catch(() => {}); // operations tell
  }

  /** Resolves when the connection is known. Rejects where the configuration cannot be used as it is now. */
  async known(): Promise<SharedConnection> {
    if (this.connection instanceof LateConnection) this.connection = await this.connection.known();
    return this.connection;
  }

  get encoding(): Encoding {
    return this.#options.encoding;
  }

  /** Whether errors are sent with their stack. */
  get stacks(): boolean {
    return this.#options.stacks;
  }

  /** What a second handle on the same channel is made from. */
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

  /** The link, once it is attached. */
  get link(): Link | undefined {
    return this.#attachment?.link;
  }

  /** What every operation rejects with that begins now. */
  closure(action: string): ChannelClosedError | undefined {
    return this.#closed === undefined ? undefined : this.#closedError(action);
  }

  /** An operation that waits for something else than a value of this channel, until the handle is closed. */
  interest<T>(action: string, owner: object, options: OperationOptions = {}): Operation<T> {
    return new Operation(this.#call(action, owner, this.#gets, options), options);
  }

  /** @param owner what must not be collected while the operation is pending; so below */
  put(owner: object, value: unknown, options: PutOptions): Promise<void> {
    return this.puts.put(owner, value, options);
  }

  /** Whether a receiver of the channel's name finds it, or would create it as this handle does. */
  get isKnown(): boolean {
    const { create, lease } = this.#options;
    return this.#existed || !create || lease === undefined;
  }

  /** Creates a channel before its name travels, for a receiver does not know how. */
  async makeKnown(carrying: Pending): Promise<void> {
    if (!this.isKnown) await this.attachFor(carrying);
  }

  /**
   * @param unpack makes the value of a message; its error is the get's, and the message is taken
   * @throws what `check` does
   */
  get<T>(
    owner: object,
    unpack: (message: Message) => T,
    options: OperationOptions,
    action = "get",
  ): Operation<T> {
    this.check(action, options);
    const get = this.#newClaimant<T>(action, owner, options);
    this.#claim(get, new Get(get, unpack), options);
    return get;
  }

  /**
   * @param unpack makes the value of a message, whose bytes stay what they are; its error is the receive's
   * @param unsettled has the delivery until it is settled
   * @throws what `check` does
   */
  receive<T>(
    owner: object,
    unpack: (message: Message) => T,
    options: OperationOptions,
    unsettled?: Set<Delivery>,
  ): Operation<Delivery<T>> {
    this.check("receive", options);
    if (this.#unburied !== undefined) {
      const error = this.#unburied;
      this.#unburied = undefined;
      throw error;
    }
    const receive = this.#newClaimant<Delivery<T>>("receive", owner, options);
    const claim = new Receive<Delivery<T>>(
      receive,
      this.#options.maxAttempts !== undefined,
      (loan) => this.#custody.hand(owner, loan, unpack, unsettled),
      (again) => this.#claimInTurn(receive, again, options),
    );
    this.#claimInTurn(receive, claim, options);
    return receive;
  }

  /** Whether the channel is attached to now. */
  get isAttached(): boolean {
    return this.#attachment !== undefined && !this.closed;
  }

  /** Attaches, so that the handle hears announcements, and that the channel is closed. */
  attach(owner: object): Promise<void> {
    return this.control("attach", owner, {}, () => Promise.resolve());
  }

  /** Tells every other handle on this channel of `event`. */
  announce(owner: object, event: Uint8Array): Promise<void> {
    return this.control("announce", owner, {}, (attachment) => {
      attachment.announced(event, this);
      return attachment.link.announce(event);
    });
  }

  announced(event: Uint8Array): void {
    for (const listener of [...this.listeners]) listener.hear(event);
  }

  missed(count: number): void {
    for (const listener of [...this.listeners]) listener.miss?.(count);
  }

  #newClaimant<T>(action: string, owner: object, options: OperationOptions): Operation<T> {
    return new Operation<T>(
      this.#call(action, owner, this.#gets, options),
      options.timeout === 0 ? { ...options, timeout: reachTimeout } : options,
    );
  }

  /** Claims a message to be received: later, where dead letters are on their way in number. */
  #claimInTurn<T>(operation: Operation<T>, claim: Claim, options: OperationOptions): void {
    if (!this.#custody.isFull) return this.#claim(operation, claim, options);
    this.#custody.room().then(() => operation.settled || this.#claim(operation, claim, options));
  }

  /** A dead letter could not be put: whoever receives is told, now or next. */
  #onUnburied(cause: unknown): void {
    const error = new ChannelError(
      `receive: channel ${this.title}: a dead letter could not be put into ` +
        `${deadLettersName(this.name)} and is in the channel again: ` +
        `${(cause as Error)?.message}; see that it can be, or leave maxAttempts out`,
      { cause },
    );
    unburied.add(error);
    this.report(error.message);
    for (const operation of this.#gets) {
      if (operation.action === "receive") return operation.giveUp(error);
    }
    this.#unburied = error;
  }

  /** Tells the logger what could not be done. */
  report(problem: string): void {
    this.#options.report?.(problem);
  }

  /** Claims a message: one that is there, where the timeout is 0. */
  #claim<T>(operation: Operation<T>, claim: Claim, options: OperationOptions): void {
    this.withLink(operation, (link) => {
      if (options.timeout === 0) {
        link.tryTake(claim.counted).then(
          (loan) => {
            if (loan !== undefined) claim.deliver(loan);
            else operation.reject(this.late(operation.action, options));
          },
          (error) => operation.reject(error),
        );
      } else {
        operation.onGiveUp = () => link.withdraw(claim);
        link.take(claim);
      }
    });
  }

  /** A handle for the values that were received too often. */
  deadLetters(): Handle {
    const { maxAttempts: _, capacity: _any, ...options } = this.options;
    return new Handle({
      ...options,
      name: deadLettersName(this.name),
      create: true,
      owned: false,
    });
  }

  depth(owner: object, options: OperationOptions): Promise<number> {
    return this.control("depth", owner, options, ({ link }) => link.depth());
  }

  /** Resolves when no value waits; with a timeout of 0, it is asked once. */
  whenEmpty(owner: object, options: OperationOptions): Promise<void> {
    const action = "whenEmpty";
    if (options.timeout !== 0) {
      return this.control(action, owner, options, ({ link }, control) => untilEmpty(link, control));
    }
    return this.control(action, owner, { ...options, timeout: reachTimeout }, async ({ link }) => {
      if (await link.depth() > 0) throw this.late(action, options);
    });
  }

  async closeAll(owner: object, options: CloseAllOptions): Promise<void> {
    if (this.#closed === "closeAll" || this.#closed === "delete") return;
    if (options.drain) return await this.#drain(owner, options);
    await this.control("closeAll", owner, options, async (attachment) => {
      await attachment.link.announce(closeAllEvent, true);
      attachment.terminate("closeAll");
    }, this.#endings);
  }

  /** What was put here before comes before. */
  async #drain(owner: object, options: OperationOptions): Promise<void> {
    const sent = this.puts.sent;
    await this.control("closeAll", owner, options, async ({ link }) => {
      await sent;
      await link.drain();
    }, this.#endings);
  }

  async delete(owner: object, options: OperationOptions): Promise<void> {
    if (this.#closed === "delete") return;
    await this.control("delete", owner, options, async (attachment) => {
      await attachment.link.delete();
      attachment.terminate("delete");
    }, this.#endings);
  }

  /** An operation that does something with the attachment. */
  control<T>(
    action: string,
    owner: object,
    options: OperationOptions,
    act: (attachment: Attachment, control: Pending) => Promise<T>,
    pending: Set<Pending> = this.#gets,
  ): Promise<T> {
    try {
      this.check(action, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const control = new Operation<T>(this.#call(action, owner, pending, options), options);
    this.attachFor(control).then((attachment) => act(attachment, control)).then(
      (result) => control.resolve(result),
      (error) => control.reject(copyOfError(error)),
    );
    return control.promise;
  }

  /** Detaches. What was put before is sent first; gets are rejected. Bounded in time; never rejects. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closed ??= "close";
    this.#giveUp(this.#gets);
    this.#giveUp(this.#endings);
    this.#custody.end();
    await within(closeTimeout, Promise.all([this.#end(), this.#detach()]));
    await this.#custody.close();
  }

  #end(): Promise<unknown> {
    return this.#ending ??= Promise.all([...this.onClosed].map((listener) => listener()));
  }

  async #detach(): Promise<void> {
    await Promise.all([this.#settle(), this.#custody.settled()]);
    const attachment = this.#attachment ?? await this.#attaching?.catch(() => undefined);
    await attachment?.remove(this);
  }

  /** Closes the handle, and deletes the channel if this handle made it without a name. Never rejects. */
  async dispose(owner: object): Promise<void> {
    const { connection } = this;
    const isReachable = connection instanceof LateConnection || connection.trouble === undefined;
    const mayExist = this.#existed || this.#attaching !== undefined ||
      this.#wasGivenUp && isReachable;
    if (this.#options.owned && mayExist && this.#closed !== "delete") {
      const handle = this.closed ? new Handle(this.options) : this;
      // Where the broker cannot be reached now, the channel's lease ends it.
      await handle.delete(owner, { timeout: closeTimeout }).catch(() => {});
      await handle.close();
    }
    await this.close();
  }

  /** What has been sent is settled by the transport's answer: it may have arrived all the same. */
  async terminate(reason: CloseReason): Promise<void> {
    this.#closed ??= reason;
    this.#attachment = undefined;
    this.#giveUp(this.#gets);
    this.#giveUp(this.puts.recalled());
    this.#custody.end();
    this.#end();
    await Promise.all([this.#settle(), within(closeTimeout, this.#custody.settled())]);
    await this.#custody.close();
  }

  /** Gives the transport a moment to answer for what it was told. */
  async #settle(): Promise<void> {
    const told: Pending[] = [...this.puts.pending, ...this.#endings];
    if (told.length === 0) return;
    await within(closeTimeout, allSettled(told));
    this.#giveUp(this.puts.pending);
  }

  #giveUp(operations: Iterable<Pending>): void {
    for (const operation of operations) {
      const isUnknown = operation instanceof Put && !operation.recall();
      operation.giveUp(this.#closedError(operation.action, isUnknown));
    }
  }

  #call(
    action: string,
    owner: object,
    pending: Set<Pending>,
    options: OperationOptions,
  ): Call {
    return { action, owner, pending, timedOut: () => this.late(action, options) };
  }

  /** @throws what an operation rejects with that cannot begin */
  check(action: string, options: OperationOptions): void {
    options.signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closedError(action);
  }

  /** Calls `use` with the link, at once where it is open; a failure to open it is the operation's. */
  withLink<T>(operation: Operation<T>, use: (link: Link) => void): void {
    if (this.#attachment !== undefined) return use(this.#attachment.link);
    this.#want({
      operation,
      use: ({ link }) => use(link),
      fail: (error) => operation.reject(copyOfError(error)),
    });
  }

  /** Attaches; rejects also where the operation settles before. */
  attachFor(operation: Pending): Promise<Attachment> {
    if (this.#attachment !== undefined) return Promise.resolve(this.#attachment);
    return new Promise((use, fail) => this.#want({ operation, use, fail }));
  }

  /** Attaches, for as long as some operation wants it: nothing is tried that nobody waits for. */
  #want(wanting: Wanting): void {
    const { operation, fail } = wanting;
    if (operation.settled) return fail(unwanted);
    this.#wanting.add(wanting);
    operation.whenSettled(() => {
      if (!this.#wanting.delete(wanting)) return;
      fail(unwanted);
      if (this.#wanting.size === 0 && this.#attachment === undefined) this.#stopAttaching();
    });
    if (this.#attaching === undefined) this.#startAttaching();
  }

  /** Known where the connection is. */
  get #retryTimeout(): number {
    const { connection } = this;
    const configured = connection instanceof LateConnection ? undefined : connection.retryTimeout;
    return this.#options.retryTimeout ?? configured ?? defaultRetryTimeout;
  }

  #startAttaching(): void {
    this.#unwanted = new AbortController();
    const attaching = this.#attaching = this.#attach(this.#unwanted.signal);
    attaching.catch((error) => {
      if (this.#attaching !== attaching) return; // given up, and perhaps begun anew
      this.#attaching = undefined;
      for (const { fail } of this.#takeWanting()) fail(error);
    });
  }

  #attached(attachment: Attachment): Attachment {
    this.#attachment = attachment;
    for (const { operation, use, fail } of this.#takeWanting()) {
      if (operation.settled) continue;
      try {
        use(attachment);
      } catch (error) {
        fail(error);
      }
    }
    return attachment;
  }

  #takeWanting(): Wanting[] {
    const all = [...this.#wanting];
    this.#wanting.clear();
    return all;
  }

  #stopAttaching(): void {
    this.#wasGivenUp = true;
    this.#unwanted?.abort(unwanted);
    this.#attaching = undefined;
  }

  async #attach(signal: AbortSignal): Promise<Attachment> {
    const { create, lease, quorum, capacity } = this.#options;
    const connection = await this.known();
    const retryTimeout = this.#retryTimeout;
    const attachment = await connection.attach(this, this.name, {
      create,
      retryTimeout,
      ...(lease === undefined ? {} : { lease }),
      ...(quorum ? { quorum } : {}),
      ...(capacity === undefined ? {} : { capacity }),
      isNew: this.#options.owned && !this.#existed && !this.#isShared,
    }, signal);
    this.#existed = true;
    if (this.#closed !== undefined && this.puts.pending.size === 0) {
      attachment.remove(this);
      throw this.#closedError("attach");
    }
    return this.#attached(attachment);
  }

  /** Name and address, for people. */
  get title(): string {
    const { connection } = this;
    return connection instanceof LateConnection
      ? this.name
      : `${this.name} on ${connection.address}`;
  }

  #closedError(action: string, isUnknown = false): ChannelClosedError {
    const reason = this.#closed!;
    const outcome = `${outcomes[reason]}${isUnknown ? unknownOutcomeText : ""}`;
    return new ChannelClosedError(`${action}: channel ${this.title} ${outcome}`, { reason });
  }

  /** The error for a timeout: who cannot reach the broker is not told that the channel is empty. */
  late(action: string, { timeout }: OperationOptions, isUnsent = true): ChannelError {
    const { connection } = this;
    const sent = isUnsent ? "" : unknownOutcomeText;
    const broker = connection instanceof LateConnection ? undefined : connection;
    if (broker === undefined || broker.trouble !== undefined) {
      const address = broker?.address ?? "";
      return new ChannelConnectionError(
        `${action}: channel ${this.title} could not be reached within ${timeout} ms${sent}`,
        { address, cause: broker?.trouble },
      );
    }
    const outcome = outcomesOfWaiting[action] ?? "no answer came";
    const advice = action !== "put"
      ? sent
      : broker.blocked !== undefined
      ? `; the broker takes no messages now: ${broker.blocked}${sent}`
      : isUnsent
      ? "; the channel may be full"
      : sent;
    return new ChannelTimeoutError(
      `${action}: channel ${this.title}: ${outcome} within ${timeout} ms${advice}`,
    );
  }
}

/** An operation that waits for the attachment. */
interface Wanting {
  readonly operation: Pending;
  use(attachment: Attachment): void;
  fail(error: unknown): void;
}

/** One for all: the stack of an error that is made anew holds what its caller holds. */
const unwanted = new Error("nobody waits for it any more");

/** Milliseconds for which a broker that cannot be reached is tried again. */
const defaultRetryTimeout = 10_000;

/** Milliseconds for which a dead letter is tried at most. */
const longestPatience = 60_000;

/** The errors that tell of dead letters. */
const unburied = new WeakSet<object>();

/** Whether an error of a receive tells of a dead letter that could not be put, and of nothing else. */
export function isUnburied(error: unknown): boolean {
  return typeof error === "object" && error !== null && unburied.has(error);
}

const outcomesOfWaiting: Readonly<Record<string, string>> = {
  get: "nothing arrived",
  tryGet: "nothing arrived",
  receive: "nothing arrived",
  request: "no reply came",
  whenEmpty: "values still waited",
  put: "the value was not taken",
  tryPut: "no answer came",
};

const outcomes: Readonly<Record<CloseReason, string>> = {
  close: "is closed in this process; make a new handle to go on",
  closeAll: "was closed for everyone; make a new handle to open it anew",
  drain: drainedText,
  delete: deletedText,
  missing: missingText,
};
