import { isAnonymous } from "../shared/names.ts";
import { ChannelClosedError, ChannelConnectionError } from "../shared/errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { isCloseAllEvent } from "../transports/close_all_event.ts";
import type { LinkObserver, Offer } from "../transports/transport.ts";
import type { Authorize, PeerAction, PeerIdentity } from "./authorize.ts";
import type { ServedLink } from "./served_link.ts";

/** A request of a peer on a link. */
export interface LinkRequest {
  /** What the peer must be allowed to do; undefined if it is enough that it may open the channel. */
  readonly action: PeerAction | undefined;
  /** Begins the request. */
  start(link: ServedLink): void;
  /** Answers that the request is refused. */
  refuse(error: unknown): void;
}

/** A put on a link. */
export interface LinkPut extends Offer {
  /** Whether the put does not wait for room. */
  readonly isTry: boolean;
  full(): void;
  /** Withdraws the put of a lost connection, if the engine has not begun it. The peer will send the message again. */
  recall(served: ServedLink): void;
}

/** What a link needs of its peer. */
export interface LinkOwner {
  readonly identity: PeerIdentity;
  /** Whether the peer reads too slowly to be sent anything that can be left out. */
  readonly isSlow: boolean;
  send(header: string, body?: Uint8Array): void;
}

/**
 * A link of a peer. Its requests begin in the order in which they arrive.
 *
 * Invariant: while `#queue` exists, no request begins: the link is not open yet, or `authorize` has not answered.
 */
export class PeerLink implements LinkObserver {
  readonly number: number;
  readonly name: string;
  readonly create: boolean;
  /** The puts that the engine has not answered, in order. */
  readonly puts: Set<LinkPut> = new Set();
  /** The number of `TRY`s that are not answered. */
  tries = 0;
  /** The requests that wait. */
  readonly requests: Set<{ drop(): void }> = new Set();
  /** The messages that the peer has been lent, by the numbers of their requests. */
  readonly loans: Set<number> = new Set();
  /** Whether a put found the channel full, and the peer has not asked for room since. */
  isFull = false;
  /** How many times in a row the channel was full. */
  refusals = 0;
  /** Whether the peer has closed the link, or is gone. */
  isClosed = false;
  /** Aborted when the link is closed before it is open. */
  readonly closed: AbortController = new AbortController();
  readonly #peer: LinkOwner;
  readonly #authorize: Authorize | undefined;
  readonly #answers = new Map<PeerAction, boolean>();
  readonly #groups = new Map<number, { readonly group: object; uses: number }>();
  #served: ServedLink | undefined;
  #queue: LinkRequest[] | undefined = [];
  /** The events that were dropped because the peer was slow. */
  #missed = 0;
  #onQuiet: (() => void) | undefined;

  constructor(
    peer: LinkOwner,
    number: number,
    name: string,
    create: boolean,
    authorize: Authorize | undefined,
  ) {
    this.#peer = peer;
    this.number = number;
    this.name = name;
    this.create = create;
    this.#authorize = authorize;
  }

  /** The link of the connection that the home serves; undefined until it is open. */
  get served(): ServedLink | undefined {
    return this.#served;
  }

  /** The link is open: the requests that have arrived meanwhile begin. */
  opened(served: ServedLink): void {
    this.#served = served;
    this.#runQueue();
  }

  /** The link could not be opened: the requests that have arrived meanwhile are refused. */
  failed(error: unknown): void {
    for (const request of this.#queue ?? []) request.refuse(error);
    this.#queue = undefined;
  }

  /** Begins a request: at once, or when those that arrived earlier have begun. */
  run(request: LinkRequest): void {
    if (this.#queue !== undefined) this.#queue.push(request);
    else this.#begin(request);
  }

  /** Resolves with whether the peer may do something; with the answer itself if it is known at once. */
  mayDo(action: PeerAction): boolean | Promise<boolean> {
    if (this.#authorize === undefined) return true;
    const known = this.#answers.get(action);
    if (known !== undefined) return known;
    const { identity: peer } = this.#peer;
    const { name: channel, create } = this;
    const anonymous = isAnonymous(channel);
    const answer = this.#authorize({ peer, action, channel, anonymous, create });
    if (!(answer instanceof Promise)) {
      this.#answers.set(action, answer === true);
      return answer === true;
    }
    return answer.then((allows) => {
      this.#answers.set(action, allows === true);
      return allows === true;
    });
  }

  #begin(request: LinkRequest): void {
    const { action } = request;
    try {
      const may = action === undefined || this.mayDo(action);
      if (may === true) request.start(this.#served!);
      else if (may === false) request.refuse(permissionError(action!, this.name));
      else this.#beginLater(request, may);
    } catch (error) {
      request.refuse(error);
    }
  }

  #beginLater(request: LinkRequest, may: Promise<boolean>): void {
    this.#queue = [request];
    may.then(
      () => this.#runQueue(),
      (error) => {
        this.#queue?.shift()?.refuse(error);
        this.#runQueue();
      },
    );
  }

  #runQueue(): void {
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    for (let i = 0; i < queue.length; i++) {
      this.run(queue[i]!); // it may make a new queue, to which the others are added
    }
  }

  /** Returns the object of a group of requests. It must be given back with `leaveGroup`. */
  group(number: number): object {
    let group = this.#groups.get(number);
    if (group === undefined) this.#groups.set(number, group = { group: {}, uses: 0 });
    group.uses++;
    return group.group;
  }

  leaveGroup(number: number): void {
    const group = this.#groups.get(number);
    if (group !== undefined && --group.uses === 0) this.#groups.delete(number);
  }

  /** A put is answered, or withdrawn. */
  putSettled(put: LinkPut): void {
    this.puts.delete(put);
    this.#checkQuiet();
  }

  /** A `TRY` is answered. */
  tryEnded(): void {
    this.tries--;
    this.#checkQuiet();
  }

  #checkQuiet(): void {
    if (this.puts.size + this.tries === 0) this.#onQuiet?.();
  }

  /** The channel is full: the puts that the engine has not begun are refused, too, so that their order holds. */
  full(): void {
    this.isFull = true;
    for (const put of [...this.puts]) {
      if (!put.isTry && this.#served?.withdraw(put)) put.full();
    }
  }

  /**
   * Detaches, once the puts are answered or have had time enough, and so have the `TRY`s, whose messages go back. The
   * loans and requests are over. Never rejects.
   */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.#served === undefined) this.closed.abort(closedByPeer);
    this.failed(closedByPeer);
    if (this.puts.size + this.tries > 0) {
      await within(closeTimeout, new Promise<void>((resolve) => this.#onQuiet = resolve));
    }
    await this.#served?.close();
  }

  /** The peer reads again. */
  resumed(): void {
    if (this.#missed > 0) this.#peer.send(`MISSED ${this.number} ${this.#missed}`);
    this.#missed = 0;
  }

  // LinkObserver

  announced(event: Uint8Array): void {
    if (this.#peer.isSlow && !isCloseAllEvent(event)) this.#missed++;
    else this.#peer.send(`SAID ${this.number}`, event);
  }

  missed(count: number): void {
    if (this.#peer.isSlow) this.#missed += count;
    else this.#peer.send(`MISSED ${this.number} ${count}`);
  }

  gone(): void {
    this.#peer.send(`GONE ${this.number}`);
  }
}

const closedByPeer = new ChannelClosedError("the peer has closed the link");

/** Returns the error of what `authorize` does not allow. It does not tell whether the channel exists. */
export function permissionError(action: PeerAction, name: string): ChannelConnectionError {
  return new ChannelConnectionError(
    `${action}: channel ${name}: the home does not permit it; use a channel that its "authorize" allows`,
    { address: "", transient: false, reason: "permission" },
  );
}
