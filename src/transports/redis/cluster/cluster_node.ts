import { ChannelConnectionError } from "../../../shared/errors.ts";
import type { ConnectionWatcher } from "../../transport.ts";
import { Connector } from "../../remote/connector.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import type { SessionWaiter } from "../../remote/session_source.ts";
import type { RedisSession } from "../connection/session.ts";
import { shownEndpoint } from "../../remote/uri_text.ts";
import type { NodeFact } from "./cluster_topology.ts";

/** The cluster that a node belongs to. */
export interface ClusterNodeOwner {
  readonly address: string;
  readonly processRef: ProcessRef;
  readonly watcher: ConnectionWatcher;
  open(fact: NodeFact, timeout: number, signal: AbortSignal): Promise<RedisSession>;
  /** A connection to a node is open. */
  joined(session: RedisSession): void;
}

/**
 * A node of a cluster, primary or replica, to which the process keeps a connection: the node must know that the process lives
 * before it has one of its channels.
 */
export class ClusterNode implements SessionWaiter<RedisSession> {
  readonly connector: Connector<RedisSession>;
  /** What is known of it: its address and its part in the cluster may change. */
  fact: NodeFact;
  /** When it was missing in what the others told, in ms of `performance.now()`; undefined if it was not. */
  missingSince: number | undefined;
  readonly #owner: ClusterNodeOwner;
  #isKept = false;
  /** The connection that was passed on to the cluster. */
  #joined: RedisSession | undefined;
  #isWaiting = false;
  #onTried: (() => void)[] = [];

  constructor(fact: NodeFact, owner: ClusterNodeOwner) {
    this.fact = fact;
    this.#owner = owner;
    const { address, processRef, watcher } = owner;
    this.connector = new Connector({
      address,
      endpoints: 1,
      processRef,
      open: (_, timeout, signal) => this.#open(timeout, signal),
    }, watcher);
  }

  async #open(timeout: number, signal: AbortSignal): Promise<RedisSession> {
    const { fact } = this;
    const session = await this.#owner.open(fact, timeout, signal);
    if (session.nodeId === fact.id) return session;
    await session.close();
    const { address } = this.#owner;
    throw new ChannelConnectionError(
      `cannot connect to ${address}: another node of the cluster has the address ${
        shownEndpoint(fact)
      } now`,
      { address, transient: true, reason: "unavailable" },
    );
  }

  /** The open connection. */
  get session(): RedisSession | undefined {
    return this.connector.session;
  }

  /** Why no connection is open; undefined if one is. */
  get trouble(): Error | undefined {
    const { trouble } = this.connector;
    if (trouble === undefined || trouble instanceof ChannelConnectionError) return trouble;
    return new Error(`${shownEndpoint(this.fact)}, which the cluster names, has not answered yet`);
  }

  /** Keeps a connection open, also one that is about to be closed. An attempt that seemed futile is made again. */
  keep(): void {
    this.#isKept = true;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.connector.connect(this);
  }

  /** Resolves when the connection is open, or an attempt has failed. */
  tried(): Promise<void> {
    if (!this.#isWaiting) return Promise.resolve();
    return new Promise((resolve) => this.#onTried.push(resolve));
  }

  /** Closes the connection in a moment, unless it is used again. */
  rest(): void {
    this.#isKept = this.#isWaiting = false;
    this.#endTrying();
    this.connector.closeSoon();
  }

  connected(session: RedisSession): void {
    this.#isWaiting = false;
    this.#endTrying();
    if (session === this.#joined) return;
    this.#joined = session;
    session.onLost(() => this.#isKept && this.keep());
    this.#owner.joined(session);
  }

  failed(_error: Error, pause: number): void {
    if (pause === Infinity) this.#isWaiting = false; // the next look at the cluster tries again
    this.#endTrying();
  }

  #endTrying(): void {
    for (const resolve of this.#onTried.splice(0)) resolve();
  }
}
