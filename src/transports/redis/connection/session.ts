import type { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import process from "node:process";
import { clearInterval, setImmediate, setInterval, setTimeout } from "node:timers";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import { hostname } from "../../../shared/host.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import type { TransportOptions } from "../../transport.ts";
import { RedisConnection } from "./redis_connection.ts";
import { RedisRefusal, type Reply } from "./reply_reader.ts";
import { connectFailure, endsSession, isUnavailable, lostConnection } from "../failure.ts";
import type { LinkSession, NotifiedLink } from "./link_session.ts";
import { type ScriptName, scriptsFor } from "../scripts/mod.ts";
import { memberMark } from "../scripts/place.ts";
import { isReplyOf } from "../scripts/replies.ts";
import { checkServer, type ServerState } from "./server_check.ts";
import type { RedisEndpoint, RedisUri } from "../uri.ts";
import { Watch } from "./watch.ts";

/** What all sessions of a transport share. */
export interface RedisSessionOptions {
  readonly uri: RedisUri;
  readonly tls: Pick<TransportOptions, "ca" | "cert" | "key" | "servername">;
  readonly processRef: ProcessRef;
  /** Reports something that may lose values. */
  warn(problem: string): void;
  /** What the connections to the nodes of a cluster share. Absent: the server is one of its own. */
  readonly member?: ClusterMember;
}

/** A subscription to a shard channel. */
interface Subscription {
  /** What is called when the node ends the subscription. */
  readonly ended: Set<() => void>;
  /** Resolves when the node has noted it. */
  readonly made: Promise<void>;
}

/** What the connections of one process to the nodes of a cluster share. */
export interface ClusterMember {
  /** The ids of the connections whose links may hold something, so that each node must know them. */
  readonly ids: Iterable<string>;
  /** Returns the number of a new link. */
  nextLink(): number;
}

/**
 * One connection to a server. Its life is the subscription to the channel of its id: a script that finds no subscriber takes
 * the session for dead.
 */
export class RedisSession implements LinkSession {
  readonly address: string;
  readonly processRef: ProcessRef;
  /** A random text, by which other processes reach this one. */
  readonly id: string;
  /** Reports something that may lose values: once for each text. */
  readonly warn: (problem: string) => void;
  /** What the server has told of itself when the connection was made. */
  state!: ServerState;
  readonly endpoint: RedisEndpoint;
  /** What the cluster calls the node; empty if the server is one of its own. */
  nodeId = "";
  /** The links that wait. */
  readonly watch: Watch = new Watch(() => this.#departures());
  #connection: RedisConnection | undefined;
  /** The digests of the scripts, once they are loaded. */
  readonly #shas: Partial<Record<ScriptName, string>> = {};
  readonly #options: RedisSessionOptions;
  #preparing: Promise<void> | undefined;
  /** Whether links may use the connection. */
  isPrepared = false;
  /** The ids to which the connection subscribes, its own included. */
  readonly #aliveIds = new Set<string>();
  /** The shard channels to which links listen. */
  readonly #shardChannels = new Map<string, Subscription>();
  readonly #links = new Map<string, NotifiedLink>();
  readonly #onLost = new Set<() => void>();
  readonly #openedAt = performance.now();
  /** Milliseconds between two questions whether the server lives; 0 for none. */
  readonly #heartbeatTime: number;
  #numbers = 0;
  /** How many replicas the server had at some time since the connection was made, and when they were counted. */
  #replicas = 0;
  #countedAt = 0;
  /** Whether the last question to the replicas was not answered in time. */
  #isBehind = false;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #loss: Error | undefined;

  private constructor(options: RedisSessionOptions, endpoint: RedisEndpoint) {
    const { uri, processRef, warn } = options;
    this.#options = options;
    this.endpoint = endpoint;
    this.id = (options.member === undefined ? "" : memberMark) + newId();
    this.address = uri.address;
    this.processRef = processRef;
    this.#heartbeatTime = 1000 * uri.heartbeat;
    this.warn = warn;
  }

  /**
   * Connects to an endpoint. Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or when `signal` is
   * aborted.
   */
  static async connect(
    options: RedisSessionOptions,
    endpoint: RedisEndpoint,
    timeout: number,
    signal: AbortSignal,
  ): Promise<RedisSession> {
    const session = new RedisSession(options, endpoint);
    const timer = new RuntimeTimer(
      () => session.abort(new Error(`no answer within ${timeout} ms`)),
      timeout,
    );
    timer.unref(); // while an operation waits, the socket keeps the process alive
    const onAbort = () => session.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    try {
      await session.#open();
      return session;
    } catch (error) {
      session.abort(error as Error);
      throw connectFailure(session.#loss, options.uri, endpoint);
    } finally {
      timer.stop();
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #open(): Promise<void> {
    const { uri, processRef, member } = this.#options;
    const tls = uri.tls ? tlsOptions(this.#options, this.endpoint) : undefined;
    const connection = await RedisConnection.open(this.endpoint, tls, {
      made: (connection) => {
        this.#connection = connection;
        processRef.use(connection);
        if (this.#loss !== undefined) connection.destroy(this.#loss);
      },
      published: (bytes) => this.#onPublished(bytes),
      unsubscribed: (channel) => this.#onUnsubscribed(channel),
      lost: (error) => this.abort(error),
    });
    const [, , nodeId] = await Promise.all([
      connection.send(helloOf(uri)),
      uri.database === 0 ? undefined : connection.send(["SELECT", String(uri.database)]),
      member === undefined ? "" : this.command(["CLUSTER", "MYID"]),
      ...[this.id, ...member?.ids ?? []].map((id) => this.markAlive(id)),
      member === undefined ? this.#prepare() : undefined,
    ]);
    if (this.#loss !== undefined) throw this.#loss;
    this.nodeId = nodeId;
    this.#startHeartbeat();
  }

  /**
   * Lets links use the connection to a node of a cluster: reads what the node says of itself, and loads the scripts. Rejects with a
   * ChannelConnectionError if the node is of no use now.
   */
  prepare(): Promise<void> {
    this.#preparing ??= (async () => {
      try {
        await this.#prepare();
      } catch (error) {
        this.#preparing = undefined;
        throw connectFailure(this.#loss ?? error, this.#options.uri, this.endpoint);
      }
    })();
    return this.#preparing;
  }

  /** The node has another part in the cluster, so what it said of itself is not true any more. */
  unprepare(): void {
    this.isPrepared = false;
    this.#preparing = undefined;
  }

  async #prepare(): Promise<void> {
    const { uri, member, warn } = this.#options;
    const [state] = await Promise.all([
      checkServer((args) => this.command(args), uri),
      ...scriptsFor(member && this.nodeId).map(async ([name, text]) => {
        this.#shas[name] = String(await this.#send(["SCRIPT", "LOAD", text]));
      }),
    ]);
    if (this.#loss !== undefined) throw this.#loss;
    this.state = state;
    this.#replicas = state.replicas;
    this.#countedAt = performance.now();
    this.isPrepared = true;
    for (const { problem } of state.hazards) warn(problem);
  }

  /** Has the server know that a connection of this process, this one or another, lives. */
  async markAlive(id: string): Promise<void> {
    if (this.#loss !== undefined || this.#aliveIds.has(id)) return;
    this.#aliveIds.add(id);
    await this.#connection!.subscribe(`channelts:${id}`);
  }

  unmarkAlive(id: string): void {
    if (this.#loss !== undefined || !this.#aliveIds.delete(id)) return;
    this.#connection!.unsubscribe(`channelts:${id}`);
  }

  /**
   * Listens to a shard channel, by which scripts on a node of a cluster tell links something.
   *
   * @param ended called when the node has ended the subscription, because it does not have the slot any more
   */
  async subscribe(channel: string, ended: () => void): Promise<void> {
    if (this.#loss !== undefined) return;
    const known = this.#shardChannels.get(channel);
    if (known !== undefined) {
      known.ended.add(ended);
      return await known.made;
    }
    const made = this.#connection!.subscribe(channel, true);
    this.#shardChannels.set(channel, { ended: new Set([ended]), made });
    await made;
  }

  unsubscribe(channel: string, ended: () => void): void {
    const known = this.#shardChannels.get(channel);
    if (!known?.ended.delete(ended) || known.ended.size > 0) return;
    this.#shardChannels.delete(channel);
    if (this.#loss === undefined) this.#connection!.unsubscribe(channel, true);
  }

  #onUnsubscribed(channel: string): void {
    const known = this.#shardChannels.get(channel);
    this.#shardChannels.delete(channel);
    for (const ended of known?.ended ?? []) ended();
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  get loss(): Error | undefined {
    return this.#loss;
  }

  get lossError(): ChannelConnectionError {
    return lostConnection(this.address, this.#loss!);
  }

  get age(): number {
    return performance.now() - this.#openedAt;
  }

  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  /** Adds a link, and returns the name under which scripts know it: `SESSION/LINK`. */
  addLink(link: NotifiedLink): string {
    const number = String(this.#options.member?.nextLink() ?? ++this.#numbers);
    this.#links.set(number, link);
    return `${this.id}/${number}`;
  }

  removeLink(holder: string): void {
    this.#links.delete(holder.slice(this.id.length + 1));
  }

  /**
   * Runs a script. The scripts run in the order of the calls. Rejects with the server's refusal, or, if the connection is
   * lost, with the loss.
   */
  run(script: ScriptName, key: string, args: readonly (string | Buffer)[]): Promise<Reply> {
    const command = ["EVALSHA", this.#shas[script]!, "1", key];
    // Two keys, one of which does not exist: so a node runs no script of a slot that moves, of which it has a part.
    if (this.nodeId !== "") command.splice(2, 2, "2", key, `${key}:meta`);
    // A link that is refused for the moment as it attaches asks again after a pause.
    const isKnown = script === "attach" ? isUnavailable : undefined;
    return this.#send(command, args, isKnown, (reply) => isReplyOf(script, args, reply));
  }

  /** Runs a command that is no script. Rejects with the server's refusal, or the loss of the connection. */
  async command(args: readonly string[]): Promise<Reply> {
    return textOf(await this.#send(args));
  }

  /** Resolves when the server has answered, and so everything has been heard that it had sent before. */
  async ping(): Promise<void> {
    try {
      await this.#send(["PING"]);
    } catch (error) {
      this.abort(error as Error);
      throw this.#loss;
    }
  }

  /** Resolves with whether half of the replicas, or more, have what this connection has written before. */
  async isReplicated(): Promise<boolean> {
    this.#countReplicas();
    const needed = Math.ceil(this.#replicas / 2);
    if (needed === 0) return true;
    // While the command waits, the server runs no other one of this connection.
    const most = this.#isBehind ? shortReplicationTimeout : replicationTimeout;
    const timeout = this.#heartbeatTime === 0 ? most : Math.min(most, this.#heartbeatTime / 2);
    const count = await this.#send(["WAIT", String(needed), String(timeout)]).catch((error) => {
      if (this.isLost) throw error;
      return 0; // the user may not run it, so that it is not known
    });
    this.#isBehind = count < needed;
    return !this.#isBehind;
  }

  /** Notes replicas that have come: a server that has just become the primary has none yet. */
  #countReplicas(): void {
    if (performance.now() - this.#countedAt < countTime) return;
    this.#countedAt = performance.now();
    this.command(["INFO", "replication"]).then(
      (text) => {
        const online = String(text).match(/^slave\d+:.*\bstate=online\b/gm) ?? [];
        this.#replicas = Math.max(this.#replicas, online.length);
      },
      () => {}, // the user may not run it, or the connection is lost
    );
  }

  async close(): Promise<void> {
    if (this.isLost) return;
    this.#lose(new Error("it was closed here"));
    await Promise.resolve(); // no link waits for anything on it
  }

  /** Ends the connection, because it is of no use. */
  abort(error: Error): void {
    this.#lose(error);
  }

  /** Resolves with how many clients have left the server; undefined if it does not tell. Rejects if the connection is lost. */
  async #departures(): Promise<number | undefined> {
    try {
      const count = await this.#send(["EVALSHA", this.#shas.departures!, "0"]);
      return count < 0 ? undefined : count;
    } catch {
      if (this.isLost) throw this.#loss;
      return undefined;
    }
  }

  /**
   * Sends a command. A refusal that another connection may not meet ends this one.
   *
   * @param isKnown reports whether the caller handles a refusal that would end the connection
   * @param isExpected reports whether a reply may be one to this command; another one counts as a refusal
   */
  async #send(
    command: readonly string[],
    args?: readonly (string | Buffer)[],
    isKnown?: (error: unknown) => boolean,
    isExpected?: (reply: Reply) => boolean,
  ): Promise<Reply> {
    if (this.#loss !== undefined) throw this.#loss;
    try {
      const reply = await this.#connection!.send(command, args);
      if (isExpected?.(reply) === false) throw new RedisRefusal(nonsense);
      return reply;
    } catch (error) {
      if (this.#loss === undefined && (!endsSession(error) || isKnown?.(error))) throw error;
      this.abort(error as Error);
      throw this.#loss;
    }
  }

  /** A script of another process, or of this one, tells a link something. */
  #onPublished(bytes: Buffer): void {
    if (this.isLost) return;
    const end = bytes.indexOf(10);
    if (end < 0) return; // another program has published it
    const [link = "", ...words] = bytes.toString("utf8", 0, end).split(" ");
    this.#links.get(link)?.notified(words, bytes.subarray(end + 1));
  }

  /** Ends the connection if the server does not answer within the interval. */
  #startHeartbeat(): void {
    const time = this.#heartbeatTime;
    if (time === 0) return;
    let asked = 0;
    let answered = 0;
    // After a time in which the process computed or was stopped, timers fire before what has arrived meanwhile is read.
    const readFirst = (question: number, turns: number) => {
      if (answered >= question || this.isLost) return;
      if (turns === 0) {
        return this.abort(new Error(`the server did not answer for ${time / 1000} s`));
      }
      setTimeout(() => setImmediate(() => readFirst(question, turns - 1)), 20).unref();
    };
    this.#heartbeat = setInterval(() => {
      if (answered < asked) return readFirst(asked, readTurns);
      const question = ++asked;
      this.ping().then(() => answered = question, () => {});
    }, time);
    this.#heartbeat.unref();
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    clearInterval(this.#heartbeat);
    this.watch.end();
    this.#connection?.destroy(error);
    this.#links.clear();
    this.#shardChannels.clear();
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
  }
}

/** Returns the command that begins a connection. */
function helloOf({ username, password, name }: RedisUri): string[] {
  const shown = name ?? ["ChannelTS", hostname(), process.pid].filter(Boolean).join(" ");
  return [
    "HELLO",
    "3",
    ...username === undefined && password === undefined
      ? []
      : ["AUTH", username ?? "default", password ?? ""],
    "SETNAME",
    shown.replace(/[^!-~]/g, "-"), // the command takes no others
  ];
}

function tlsOptions(
  { tls: { ca, cert, key, servername } }: RedisSessionOptions,
  { host }: RedisEndpoint,
): ConnectionOptions {
  const given = {
    ca,
    cert,
    key,
    // An IP address has no name that could be asked for; the certificate must have the address.
    servername: servername ?? (isIP(host) === 0 ? host : undefined),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Returns a reply with text in place of bytes. */
function textOf(reply: Reply): Reply {
  if (Array.isArray(reply)) return reply.map(textOf);
  return reply instanceof Uint8Array ? String(reply) : reply;
}

function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Milliseconds within which the replicas must have a put, and the same after they have been too late. */
const replicationTimeout = 2000;
const shortReplicationTimeout = 200;

/** Milliseconds between two questions how many replicas there are. */
const countTime = 1000;

/** Stands for the refusal of a server that answers a script with something else than the script returns. */
const nonsense = "NONSENSE the reply is not one of the script";

/** How often the event loop turns before an answer that is late counts as missing. */
const readTurns = 3;
