import { ChannelConnectionError } from "../../../shared/errors.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import { RedisSession, type RedisSessionOptions } from "../connection/session.ts";
import { connectFailure } from "../failure.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import { type ClusterTopology, type NodeFact, topologyOf } from "./cluster_topology.ts";
import { firstAnswer } from "./first_answer.ts";

/** What is known of the cluster that is asked. */
export interface SurveyOwner {
  /** Returns the open connections. */
  sessions(): RedisSession[];
  /** Returns the nodes to which there is no connection. */
  closed(): readonly { readonly fact: NodeFact }[];
  /** Returns the number of nodes. */
  nodes(): number;
  /** Returns what was told last. */
  known(): ClusterTopology | undefined;
  /** Tells the logger something. */
  note(event: string): void;
}

/**
 * Asks the nodes of a cluster who has which slot: those to which there is a connection, in turn, and, if none of them tells, the
 * servers of the URI and the other nodes.
 */
export class ClusterSurvey {
  readonly #options: RedisSessionOptions;
  readonly #seeds: readonly Endpoint[];
  readonly #owner: SurveyOwner;
  /** Which connection is asked next. */
  #turn = 0;
  /** The addresses whose last answer was of no use. */
  readonly #useless = new Set<string>();

  constructor(options: RedisSessionOptions, owner: SurveyOwner) {
    this.#options = options;
    this.#seeds = options.uri.endpoints;
    this.#owner = owner;
  }

  /**
   * Resolves with what a node tells that is not older than what is known.
   *
   * @param first the connection that is asked first
   * @param signal ends the attempts to connect to further nodes
   */
  async ask(first: RedisSession | undefined, signal: AbortSignal): Promise<ClusterTopology> {
    const open = this.#owner.sessions();
    const from = this.#turn++ % (open.length || 1);
    const all = new Set([
      ...first === undefined || first.isLost ? [] : [first],
      ...open.slice(from),
      ...open.slice(0, from),
    ]);
    const older: ClusterTopology[] = [];
    /** Keeps an answer that may be of use if there is no better one. */
    const isCurrent = (topology: ClusterTopology) => {
      const isCurrent = this.#isCurrent(topology);
      if (!isCurrent) older.push(topology);
      return isCurrent;
    };
    const told = await firstAnswer(
      [...all],
      (session) => this.#askOpen(session),
      (topology) => topology.covered > 0 && isCurrent(topology),
      askTime,
    );
    if (told !== undefined) return told;
    // A cluster that was built anew has earlier epochs on all nodes; some that are cut off do not know better.
    if (2 * older.length > this.#owner.nodes()) return newestOf(older);
    const errors: ChannelConnectionError[] = [];
    const isFound = new AbortController();
    const until = AbortSignal.any([signal, isFound.signal]);
    const found = await firstAnswer(
      this.#closed,
      (endpoint) => this.#askClosed(endpoint, until, errors),
      isCurrent,
      askTime,
    );
    isFound.abort(new Error("another node has answered"));
    if (signal.aborted) throw connectFailure(signal.reason, this.#options.uri, this.#seeds[0]!);
    if (found === undefined && older.length === 0) throw this.#failed(errors);
    return found ?? newestOf(older);
  }

  /** Reports whether an answer is not older than what is known. */
  #isCurrent({ epoch }: ClusterTopology): boolean {
    const known = this.#owner.known()?.epoch;
    return known === undefined || epoch === undefined || epoch >= known;
  }

  async #askOpen(session: RedisSession): Promise<ClusterTopology> {
    const shown = shownEndpoint(session.endpoint);
    try {
      const topology = await answered(topologyOf(session, this.#options.uri.tls));
      if (this.#isCurrent(topology)) this.#useless.delete(shown);
      else this.#noteUseless(shown, "knows only an earlier state of the cluster");
      return topology;
    } catch (error) {
      if (!session.isLost) {
        this.#noteUseless(shown, `did not say who has which slot: ${(error as Error).message}`);
      }
      throw error;
    }
  }

  #noteUseless(shown: string, why: string): void {
    if (this.#useless.has(shown)) return;
    this.#useless.add(shown);
    this.#owner.note(`${this.#options.uri.address}: ${shown} ${why}; other nodes are asked`);
  }

  /** The servers of the URI, and the nodes to which there is no connection. */
  get #closed(): Endpoint[] {
    const endpoints = new Map<string, Endpoint>();
    for (const each of [...this.#seeds, ...this.#owner.closed().map(({ fact }) => fact)]) {
      endpoints.set(shownEndpoint(each), each);
    }
    return [...endpoints.values()];
  }

  async #askClosed(
    endpoint: Endpoint,
    signal: AbortSignal,
    errors: ChannelConnectionError[],
  ): Promise<ClusterTopology> {
    let session: RedisSession | undefined;
    try {
      session = await RedisSession.connect(this.#options, endpoint, seedTimeout, signal);
      return await answered(topologyOf(session, this.#options.uri.tls));
    } catch (error) {
      errors.push(connectFailure(error, this.#options.uri, endpoint));
      throw error;
    } finally {
      await session?.close();
    }
  }

  #failed(errors: readonly ChannelConnectionError[]): ChannelConnectionError {
    const transient = errors.some((error) => error.transient);
    const { reason, cause } = errors[0]!;
    return new ChannelConnectionError(errors.map(({ message }) => message).join("; "), {
      address: this.#options.uri.address,
      transient,
      cause,
      ...reason === undefined || transient ? {} : { reason },
    });
  }
}

function newestOf(topologies: readonly ClusterTopology[]): ClusterTopology {
  return topologies.reduce((a, b) => (b.epoch ?? 0) > (a.epoch ?? 0) ? b : a);
}

/** Resolves as the answer of a node does. Rejects if there is none in time. */
async function answered<T>(answer: Promise<T>): Promise<T> {
  let timer: RuntimeTimer;
  const late = new Promise<never>((_, reject) => {
    timer = new RuntimeTimer(
      () => reject(new Error(`no answer within ${answerTime} ms`)),
      answerTime,
    );
    timer.unref();
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    timer!.stop();
  }
}

/** Milliseconds after which the next node is asked, since the last one has not answered. */
const askTime = 500;

/** Milliseconds within which a node must answer such a look. */
const answerTime = 2000;

/** Milliseconds for a connection to a node that is asked, and closed again. */
const seedTimeout = 5000;
