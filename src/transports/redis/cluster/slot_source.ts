import { backOff } from "../../../shared/backoff.ts";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import type { SessionWaiter } from "../../remote/session_source.ts";
import { isMoved } from "../failure.ts";
import type { LeftBehind, LinkSession, LinkSessionSource } from "../connection/link_session.ts";
import type { RedisSession } from "../connection/session.ts";
import type { ClusterNode } from "./cluster_node.ts";
import { slotOf } from "./slot.ts";
import { SlotSession } from "./slot_session.ts";

/** The cluster of a link's channel. */
export interface SlotSourceOwner {
  readonly address: string;
  readonly processRef: ProcessRef;
  /** Why no node can be reached; undefined if one can. */
  readonly trouble: Error | undefined;
  /** Whether a node was connected to since links use the cluster. */
  readonly wasConnected: boolean;
  /** What links have of the connections to nodes. */
  readonly slotSessions: Set<SlotSession>;
  /** A link waits for a connection, or does so no more. */
  use(source: SlotSource): void;
  unuse(source: SlotSource): void;
  /** Whether it is known who has which slot. */
  readonly isReady: boolean;
  /** Resolves when it is known. */
  ready(): Promise<void>;
  /** Asks a node who has which slot, after what was asked before. */
  look(first?: RedisSession): Promise<void>;
  /** Returns the primary that has a slot, as far as is known. */
  nodeOf(slot: number): ClusterNode | undefined;
  /** Returns the error for a slot that no node has. */
  uncovered(slot: number): ChannelConnectionError;
  /** Prepares a connection for links. */
  prepare(session: RedisSession): Promise<void>;
  /** Does what a link that is closed could not do because its slot was moving. */
  leave(slot: number, key: string, left: LeftBehind): void;
}

/**
 * The connections of one link to the nodes that have the slot of its channel, one after the other.
 *
 * Invariants: while the link waits, exactly one of these is under way: a pause, a look at the cluster, an attempt to connect to
 * `#node`, or the preparation of its connection. What belongs to an earlier call of `connect` is ignored.
 */
export class SlotSource implements LinkSessionSource, SessionWaiter<RedisSession> {
  readonly #cluster: SlotSourceOwner;
  readonly #key: string;
  readonly #slot: number;
  #waiter: SessionWaiter<LinkSession> | undefined;
  #node: ClusterNode | undefined;
  #session: SlotSession | undefined;
  #trouble: ChannelConnectionError | undefined;
  /** How many attempts in a row have failed, or have ended soon after they succeeded. */
  #failures = 0;
  /** Whether the link ever had a connection. */
  #wasFound = false;
  #pause: RuntimeTimer | undefined;
  #endPause: (() => void) | undefined;
  /** Counts the calls of `connect` and `cancel`. */
  #call = 0;

  constructor(cluster: SlotSourceOwner, key: string) {
    this.#cluster = cluster;
    this.#key = key;
    this.#slot = slotOf(key);
  }

  get address(): string {
    return this.#cluster.address;
  }

  get processRef(): ProcessRef {
    return this.#cluster.processRef;
  }

  get trouble(): Error | undefined {
    if (this.#session !== undefined && !this.#session.isLost) return undefined;
    return this.#node?.trouble ?? this.#trouble ?? this.#cluster.trouble;
  }

  connect(waiter: SessionWaiter<LinkSession>): void {
    this.cancel();
    this.#waiter = waiter;
    this.#cluster.use(this);
    const last = this.#session;
    this.#session = undefined;
    if (last?.refusal === undefined) return this.#seek();
    if (last.age > shortLife) this.#failures = 0;
    if (this.#failures === 0 && isMoved(last.refusal)) {
      this.#failures = 1;
      return this.#seekAnew(last.node);
    }
    // A node that serves nothing, because it is cut off from the others, does not know who has the slot.
    this.#fail(last.lossError, isMoved(last.refusal) ? last.node : undefined);
  }

  cancel(): void {
    this.#call++;
    this.#waiter = undefined;
    this.#pause?.stop();
    this.#endPause = undefined;
    this.#node?.connector.cancel(this);
    this.#node = undefined;
    this.#cluster.unuse(this);
  }

  retryNow(): void {
    this.#endPause?.();
    this.#node?.connector.retryNow();
  }

  leave(left: LeftBehind): void {
    this.#cluster.leave(this.#slot, this.#key, left);
  }

  /** Others have told who has which slot. */
  topologyChanged(): void {
    const node = this.#node;
    if (node === undefined || this.#cluster.nodeOf(this.#slot) === node) return;
    this.#call++; // its connection may be prepared at the moment
    node.connector.cancel(this);
    this.#node = undefined;
    this.#seek();
  }

  /** Asks who has the slot, and connects to that node. */
  #seekAnew(first?: RedisSession): void {
    this.#after(this.#cluster.look(first), () => this.#seek());
  }

  /** Connects to the node that has the slot, as far as is known. */
  #seek(): void {
    if (!this.#cluster.isReady) return this.#after(this.#cluster.ready(), () => this.#join());
    this.#join();
  }

  #join(): void {
    const node = this.#cluster.nodeOf(this.#slot);
    if (node === undefined) return this.#fail(this.#cluster.uncovered(this.#slot));
    this.#node = node;
    node.connector.connect(this);
  }

  /**
   * Continues when a step has been done, unless it is not needed any more.
   *
   * @param wasConnected whether this was possible before, so that an error that seems to stay is no reason to give up
   */
  #after(step: Promise<void>, next: () => void, wasConnected = this.#cluster.wasConnected): void {
    const call = this.#call;
    step.then(
      () => {
        if (call === this.#call) next();
      },
      (error: ChannelConnectionError) => {
        if (call !== this.#call) return;
        if (error.transient || wasConnected) return this.#fail(error);
        this.#trouble = error;
        const waiter = this.#waiter!;
        this.cancel();
        waiter.failed(error, Infinity);
      },
    );
  }

  /** The node's connection is open. */
  connected(session: RedisSession): void {
    if (this.#waiter === undefined) return;
    if (session.isPrepared) return this.#found(session);
    this.#after(this.#cluster.prepare(session), () => {
      if (session.isLost) this.#seek();
      else this.#found(session);
    }, this.#wasFound);
  }

  /** The node cannot be reached, or refuses the process. */
  failed(error: ChannelConnectionError, pause: number): void {
    this.#trouble = error;
    const waiter = this.#waiter;
    if (pause === Infinity) this.cancel();
    else this.#cluster.look().catch(() => {}); // a replica may have taken its place
    waiter?.failed(error, pause);
  }

  #found(session: RedisSession): void {
    const waiter = this.#waiter!;
    this.#waiter = undefined;
    this.#node = undefined;
    this.#cluster.unuse(this);
    this.#trouble = undefined;
    this.#wasFound = true;
    this.#session = new SlotSession(session, this.#key, this.#slot, this.#cluster.slotSessions);
    waiter.connected(this.#session);
  }

  #fail(error: ChannelConnectionError, first?: RedisSession): void {
    this.#trouble = error;
    this.#node?.connector.cancel(this);
    this.#node = undefined;
    const waiter = this.#waiter!;
    const longest = this.processRef.isHeld ? maxPause : maxIdlePause;
    const pause = backOff(this.#failures++, minPause, longest);
    const over = () => {
      this.#pause?.stop();
      this.#endPause = undefined;
      this.#seekAnew(first);
    };
    if (pause > maxPause) this.#endPause = over;
    this.#pause = new RuntimeTimer(over, pause);
    this.processRef.use(this.#pause);
    waiter.failed(error, pause);
  }
}

/** Milliseconds. A session that ends earlier counts as a failure. */
const shortLife = 2000;

/** Milliseconds between attempts; the last while no operation is pending. */
const minPause = 50;
const maxPause = 1000;
const maxIdlePause = 5000;
