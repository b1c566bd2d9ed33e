import { ChannelConfigError, ChannelConnectionError, ChannelError } from "../shared/errors.ts";
import { inThisRequest, isRequestBound } from "../shared/request_bound.ts";
import { newStats } from "../transports/stats.ts";
import type {
  Features,
  LinkOptions,
  PutTerm,
  Reach,
  Stats,
  Transport,
} from "../transports/transport.ts";
import { type Attached, Attachment } from "./attachment.ts";

/**
 * Returns the connection to an address that a message has named and that this process has not configured; undefined if
 * the address is not followed.
 *
 * @param name the channel that is named, for errors
 * @throws {ChannelReferenceError} if the program's function fails
 */
export type Follower = (address: string, name: string) => SharedConnection | undefined;

/**
 * The connection of this process to one broker, which all its channels on the broker share. The transport closes
 * its sockets and files while nothing is attached. The connection is garbage collected when nothing refers to it.
 */
export class SharedConnection {
  readonly address: string;
  readonly reach: Reach;
  /** Milliseconds, from the configuration; undefined if the configuration does not say. */
  readonly retryTimeout: number | undefined;
  /** Whether to connect to the addresses in the messages of this connection. Absent: never. */
  follow?: Follower;
  /** Called before a channel attaches while none is attached. It may throw. */
  onUse?: () => void;
  readonly #load: () => Transport | Promise<Transport>;
  #loading: Promise<Transport> | undefined;
  #transport: Transport | undefined;
  readonly #attachments = new Map<string, Attachment>();
  /** On workerd, while anything is attached over the network: whether the request that called `attach` first runs. */
  #inOwnRequest: (() => boolean) | undefined;

  /** @param load loads the transport's code and makes the transport; called when a channel first attaches */
  constructor(
    about: { readonly address: string; readonly reach: Reach },
    load: () => Transport | Promise<Transport>,
    retryTimeout?: number,
  ) {
    this.address = about.address;
    this.reach = about.reach;
    this.retryTimeout = retryTimeout;
    this.#load = load;
  }

  /** Whether a channel is attached. */
  get isUsed(): boolean {
    return this.#attachments.size > 0;
  }

  /** The reason why the broker is not reachable now; undefined if it is reachable. */
  get trouble(): Error | undefined {
    if (this.#transport !== undefined) return this.#transport.trouble;
    return this.reach === "network" ? new Error("the broker has not answered yet") : undefined;
  }

  /** The reason why the broker is reachable but accepts no messages now; undefined if it accepts them. */
  get blocked(): string | undefined {
    return this.#transport?.blocked;
  }

  /** The put options that the transport takes; empty until a channel has attached. */
  get terms(): readonly PutTerm[] {
    return this.#transport?.features.terms ?? [];
  }

  /** Loads the transport, and returns its features. */
  async features(): Promise<Features> {
    return (this.#transport ??= await this.#loaded()).features;
  }

  /** The counters of the transport. */
  get stats(): Readonly<Stats> {
    return this.#transport?.stats ?? noStats;
  }

  /**
   * Checks that the current request may use the connection. On workerd, the sockets of a request are refused to others,
   * and an operation that uses them never settles.
   *
   * @throws {ChannelConnectionError} if the connection belongs to another request
   */
  checkRequest(action: string): void {
    if (this.#inOwnRequest?.() !== false) return;
    throw new ChannelConnectionError(
      `${action}: ${this.address}: the connection belongs to another request, and ends with it; ` +
        "make a new Connection in each request and close its channels, or use channels in a Durable Object",
      { address: this.address, transient: false },
    );
  }

  /**
   * Adds a handle to the attachment of the channel `name`, which is opened if the process has none.
   *
   * @param signal ends the wait; the attachment is abandoned if no other handle waits for it
   */
  async attach(
    handle: Attached,
    name: string,
    options: Omit<LinkOptions, "observer" | "signal">,
    signal: AbortSignal,
  ): Promise<Attachment> {
    if (!this.isUsed) this.onUse?.();
    if (isRequestBound && this.reach === "network") {
      this.checkRequest("attach");
      this.#inOwnRequest ??= inThisRequest();
    }
    const deadline = performance.now() + options.retryTimeout;
    if (options.capacity === 0) await this.#checkRendezvous(name);
    for (;;) {
      let attachment = this.#attachments.get(name);
      if (attachment?.closing !== undefined) {
        await attachment.closing;
        continue;
      }
      const isJoining = attachment !== undefined;
      attachment ??= this.#open(name, options);
      try {
        await attachment.awaited(signal);
      } catch (error) {
        // The handle that opened the attachment may have had a shorter retryTimeout.
        if (isJoining && isTransient(error) && performance.now() < deadline) continue;
        throw error;
      }
      // A handle must not receive events that are older than it, such as a past closeAll.
      if (attachment.isShared) await attachment.link.catchUp();
      if (attachment.closing !== undefined) continue;
      attachment.add(handle);
      return attachment;
    }
  }

  /** @throws {ChannelConfigError} if the transport has no channels of capacity 0 */
  async #checkRendezvous(name: string): Promise<void> {
    if ((await this.features()).rendezvous) return;
    throw new ChannelConfigError(
      `channel ${name}: the option "capacity" cannot be 0 on ${this.address}: the broker stores a value ` +
        "before a consumer takes it; use capacity: 1, or request to wait until a value was handled",
    );
  }

  #open(name: string, options: Omit<LinkOptions, "observer" | "signal">): Attachment {
    const attachment: Attachment = new Attachment(
      async (observer, signal) => {
        this.#transport ??= await this.#loaded();
        return await this.#transport.open(name, { ...options, observer, signal });
      },
      () => {
        if (this.#attachments.get(name) === attachment) this.#attachments.delete(name);
        if (this.#attachments.size > 0) return;
        this.#inOwnRequest = undefined;
        this.#transport?.rest?.();
      },
    );
    this.#attachments.set(name, attachment);
    return attachment;
  }

  /** Loads the transport. A failure is not remembered: the next call tries again. */
  #loaded(): Promise<Transport> {
    return this.#loading ??= Promise.resolve().then(this.#load).catch((cause) => {
      this.#loading = undefined;
      if (cause instanceof ChannelError) throw cause;
      throw new ChannelConnectionError(
        `the transport for ${this.address} cannot be loaded (${String(cause)})`,
        { address: this.address, cause, transient: false },
      );
    });
  }
}

const noStats: Readonly<Stats> = newStats();

function isTransient(error: unknown): boolean {
  return error instanceof ChannelConnectionError && error.transient;
}
