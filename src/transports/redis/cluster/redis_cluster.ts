import { clearInterval, setInterval } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";
import { ChannelConnectionError } from "../../../shared/errors.ts";
import { within } from "../../../shared/timeouts.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import type { ConnectionWatcher } from "../../transport.ts";
import type { LeftBehind } from "../connection/link_session.ts";
import { RedisSession, type RedisSessionOptions } from "../connection/session.ts";
import { ClusterNode, type ClusterNodeOwner } from "./cluster_node.ts";
import { ClusterRef } from "./cluster_ref.ts";
import { ClusterSurvey } from "./cluster_survey.ts";
import type { ClusterTopology } from "./cluster_topology.ts";
import { detachLater, idle } from "./detach_later.ts";
import type { SlotSession } from "./slot_session.ts";
import { SlotSource, type SlotSourceOwner } from "./slot_source.ts";

/**
 * The connections of one process to the nodes of a cluster, and who has which slot. docs/internals/redis.md, "Clusters",
 * describes what holds when a slot moves or a node fails.
 *
 * Invariants: while a channel is attached, the process has a connection to each node that can be reached, replicas included, and
 * each of them has the subscriptions of all sessions that hold something, so that no node takes the process for dead.
 */
export class RedisCluster implements SlotSourceOwner {
  readonly processRef: ClusterRef = new ClusterRef();
  readonly #options: RedisSessionOptions;
  readonly #owner: ClusterNodeOwner;
  readonly #survey: ClusterSurvey;
  /** By what the cluster calls them: a node has different addresses if nodes tell its name, or its IP address. */
  readonly #nodes = new Map<string, ClusterNode>();
  /** The links that wait for a connection. */
  readonly #sources = new Set<SlotSource>();
  /** What links have of the connections: a link is told if its slot is found elsewhere. */
  readonly slotSessions: Set<SlotSession> = new Set();
  /** The ids of the sessions that may hold something: each node must know them. */
  readonly #ids = new Set<string>();
  /** Those whose connection is lost. */
  readonly #retiring = new Map<string, RuntimeTimer>();
  #topology: ClusterTopology | undefined;
  #trouble: ChannelConnectionError | undefined;
  #isActive = false;
  #readying: Promise<void> | undefined;
  #isReady = false;
  #looking: Promise<void> | undefined;
  #nextLook: Promise<void> | undefined;
  /** How many looks in a row no node has answered, and when the next one may begin, in ms of `performance.now()`. */
  #failures = 0;
  #notBefore = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #numbers = 0;
  /** Aborted when no link needs a connection. */
  #idle = new AbortController();
  /** Whether a node was ever connected to. */
  wasConnected = false;

  constructor(
    options: Omit<RedisSessionOptions, "processRef" | "member">,
    watcher: ConnectionWatcher,
  ) {
    this.#options = {
      ...options,
      processRef: this.processRef,
      member: { ids: this.#ids, nextLink: () => ++this.#numbers },
    };
    this.#owner = {
      address: this.address,
      processRef: this.processRef,
      watcher: {
        ...watcher,
        connected: (isAgain) => {
          if (isAgain || !this.wasConnected) watcher.connected(isAgain);
          this.wasConnected = true;
        },
      },
      open: (fact, timeout, signal) => RedisSession.connect(this.#options, fact, timeout, signal),
      joined: (session) => this.#joined(session),
    };
    this.#survey = new ClusterSurvey(this.#options, {
      sessions: () => this.#sessions,
      closed: () => [...this.#nodes.values()].filter(({ session }) => session === undefined),
      nodes: () => this.#nodes.size,
      known: () => this.#topology,
      note: (event) => watcher.noted?.(event),
    });
  }

  get address(): string {
    return this.#options.uri.address;
  }

  /** Why no node can be reached; undefined if one can. */
  get trouble(): Error | undefined {
    if (this.#sessions.length > 0) return undefined;
    const [node] = this.#nodes.values();
    return this.#trouble ?? node?.trouble ?? noAnswer;
  }

  /** Returns where a link gets its connections from. */
  sourceOf(key: string): SlotSource {
    return new SlotSource(this, key);
  }

  /** Returns the primary that has a slot, as far as is known. */
  nodeOf(slot: number): ClusterNode | undefined {
    const fact = this.#topology?.primaryOf(slot);
    return fact && this.#nodes.get(fact.id);
  }

  /** Returns the error for a slot that no node has. */
  uncovered(slot: number): ChannelConnectionError {
    const { address } = this;
    return new ChannelConnectionError(
      `${address}: no node of the cluster has slot ${slot}, to which the channel belongs; check the cluster`,
      { address, transient: true, reason: "unavailable" },
    );
  }

  leave(slot: number, key: string, left: LeftBehind): void {
    detachLater(
      {
        signal: this.#idle.signal,
        sessionOf: (slot) => this.nodeOf(slot)?.session,
        prepare: (session) => this.prepare(session),
        look: () => this.look(),
        warn: (problem) => this.#owner.watcher.warned?.(problem),
      },
      slot,
      key,
      left,
    );
  }

  /** A link waits for a connection. */
  use(source: SlotSource): void {
    this.#sources.add(source);
    if (this.#isActive) return;
    this.#isActive = true;
    this.#isReady &&= this.#sessions.length > 0;
    for (const node of this.#nodes.values()) node.keep();
    this.#timer = setInterval(() => {
      this.look().catch(() => {}); // the watcher knows it, and the next look is soon
    }, lookTime);
    this.#timer.unref();
  }

  unuse(source: SlotSource): void {
    this.#sources.delete(source);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Resolves when it is known who has which slot, and each node has been connected to, or was not reached within a second. Rejects
   * with a ChannelConnectionError if no node tells.
   */
  async ready(): Promise<void> {
    if (this.#isReady) return;
    const readying = this.#readying ??= this.#makeReady().finally(() => {
      if (this.#readying === readying) this.#readying = undefined;
    });
    await readying;
  }

  async #makeReady(): Promise<void> {
    await this.look();
    const nodes = [...this.#nodes.values()];
    await within(joinTime, Promise.all(nodes.map((node) => node.tried())));
    this.#isReady = true;
  }

  /** Prepares a connection for links: other nodes must know its id first, if they can be reached. */
  async prepare(session: RedisSession): Promise<void> {
    this.#ids.add(session.id);
    const others = this.#sessions.filter((other) => other !== session);
    await Promise.all([
      session.prepare(),
      within(
        joinTime,
        Promise.all(others.map((other) => other.markAlive(session.id).catch(() => {}))),
      ),
    ]);
  }

  /**
   * Asks a node who has which slot, after what was asked before. If no node has answered, it pauses first: each link whose node
   * cannot be reached asks for a look.
   *
   * @param first the connection that is asked first
   */
  look(first?: RedisSession): Promise<void> {
    this.#nextLook ??= (async () => {
      await this.#looking?.catch(() => {});
      const pause = this.#notBefore - performance.now();
      if (pause > 0) await idle(pause, this.#idle.signal);
      this.#looking = this.#nextLook;
      this.#nextLook = undefined;
      try {
        await this.#ask(first);
      } finally {
        this.#looking = undefined;
      }
    })();
    return this.#nextLook;
  }

  /** No link is open any more. */
  rest(): void {
    this.#isActive = this.wasConnected = false;
    this.#trouble = this.#readying = undefined;
    this.#failures = this.#notBefore = 0;
    clearInterval(this.#timer);
    for (const id of [...this.#retiring.keys()]) this.#retire(id);
    this.#idle.abort(new Error("no channel is attached"));
    this.#idle = new AbortController();
    for (const node of this.#nodes.values()) node.rest();
  }

  get #sessions(): RedisSession[] {
    return [...this.#nodes.values()].flatMap(({ session }) => session ?? []);
  }

  async #ask(first: RedisSession | undefined): Promise<void> {
    const { signal } = this.#idle;
    let topology;
    try {
      topology = await this.#survey.ask(first, signal);
    } catch (error) {
      if (!signal.aborted) {
        this.#trouble = error as ChannelConnectionError;
        const pause = backOff(this.#failures++, minPause, maxPause);
        this.#notBefore = performance.now() + pause;
        this.#owner.watcher.failed(this.#trouble, pause);
      }
      throw error;
    }
    this.#trouble = undefined;
    this.#failures = 0;
    this.#adopt(topology);
  }

  #adopt(topology: ClusterTopology): void {
    const changes = this.#topology && topology.changesSince(this.#topology);
    if (changes !== undefined) this.#owner.watcher.noted?.(`${this.address}: ${changes}`);
    this.#topology = topology;
    for (const [id, fact] of topology.nodes) {
      let node = this.#nodes.get(id);
      if (node === undefined) this.#nodes.set(id, node = new ClusterNode(fact, this.#owner));
      if (node.fact.isPrimary !== fact.isPrimary) node.session?.unprepare();
      node.fact = fact;
      node.missingSince = undefined;
      if (this.#isActive) node.keep();
    }
    for (const [id, node] of this.#nodes) {
      if (topology.nodes.has(id)) continue;
      // A node that is down, or that the one that was asked does not know yet, may come back.
      node.missingSince ??= performance.now();
      if (performance.now() - node.missingSince < forgetTime) continue;
      this.#nodes.delete(id);
      node.rest();
    }
    for (const slot of [...this.slotSessions]) {
      const node = this.nodeOf(slot.slot);
      if (node === undefined || node.session === slot.node || slot.node.isLost) continue;
      slot.end(new Error("MOVED"));
    }
    for (const source of [...this.#sources]) source.topologyChanged();
  }

  /** A node has a connection: the sessions that became known meanwhile must be known there, too. */
  #joined(session: RedisSession): void {
    for (const id of this.#ids) session.markAlive(id).catch(() => {}); // the connection is lost
    session.onLost(() => {
      const { id } = session;
      if (!this.#ids.has(id)) return;
      if (!this.#isActive) return this.#retire(id);
      // Its links may be attaching at the node that takes the slot.
      const timer = new RuntimeTimer(() => this.#retire(id), retireTime);
      timer.unref();
      this.#retiring.set(id, timer);
    });
  }

  #retire(id: string): void {
    this.#retiring.get(id)?.stop();
    this.#retiring.delete(id);
    this.#ids.delete(id);
    for (const session of this.#sessions) session.unmarkAlive(id);
  }
}

const noAnswer = new Error("there has been no answer yet");

/** Milliseconds between two looks at the cluster, by which new nodes are learned of. */
const lookTime = 5000;

/** Milliseconds between two looks of which the first has had no answer; it is the longest for one that a link waits for. */
const minPause = 50;
const maxPause = 1000;

/** Milliseconds for which the first operation waits for connections to all nodes. */
const joinTime = 1000;

/** Milliseconds for which a node stays known that others do not name. */
const forgetTime = 60_000;

/** Milliseconds for which nodes are told that the holder of a lost connection lives: its links attach again meanwhile. */
const retireTime = 60_000;
