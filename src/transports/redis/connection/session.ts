import type { Buffer } from "node:buffer";
import { clearInterval, setInterval } from "node:timers";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import { randomHex } from "../../../shared/hex.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import type { TransportOptions } from "../../transport.ts";
import { helloOf, tlsOptionsOf } from "./redis_hello.ts";
import { RedisConnection } from "./redis_connection.ts";
import { RedisHeartbeat } from "./redis_heartbeat.ts";
import { RedisRefusal, type Reply } from "./reply_reader.ts";
import { Replication } from "./replication.ts";
import { ShardChannels } from "./shard_channels.ts";
import { connectFailure, endsSession, isUnavailable, lostConnection } from "../failure.ts";
import type { LinkSession, NotifiedLink } from "./link_session.ts";
import { type Script, type ScriptName, scriptsFor } from "../scripts/mod.ts";
import { memberMark } from "../scripts/place.ts";
import { isReplyOf } from "../scripts/replies.ts";
import { checkServer, isReplica, type ServerState } from "./server_check.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import type { RedisUri } from "../uri.ts";
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
  readonly endpoint: Endpoint;
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
  readonly #shardChannels = new ShardChannels();
  readonly #links = new Map<string, NotifiedLink>();
  readonly #replication: Replication;
  readonly #onLost = new Set<() => void>();
  readonly #openedAt = performance.now();
  /** Milliseconds between two questions whether the server lives; 0 for none. */
  readonly #heartbeatTime: number;
  #numbers = 0;
  #heartbeat: RedisHeartbeat | undefined;
  /** Asks whether the server is the primary. */
  #asking: ReturnType<typeof setInterval> | undefined;
  #loss: Error | undefined;

  private constructor(options: RedisSessionOptions, endpoint: Endpoint) {
    const { uri, processRef, warn } = options;
    this.#options = options;
    this.endpoint = endpoint;
    this.id = (options.member === undefined ? "" : memberMark) + randomHex(12);
    this.address = uri.address;
    this.processRef = processRef;
    this.#heartbeatTime = 1000 * uri.heartbeat;
    this.warn = warn;
    this.#replication = new Replication({
      // A question of the heartbeat waits behind the command.
      longestWait: uri.heartbeat === 0 ? undefined : this.#heartbeatTime / 2,
      isLost: () => this.isLost,
      command: (args) => this.command(args),
      warn: (problem) => this.warn(`${this.address} ${problem}`),
    });
  }

  /**
   * Connects to an endpoint. Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or when `signal` is
   * aborted.
   */
  static async connect(
    options: RedisSessionOptions,
    endpoint: Endpoint,
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
    const tls = uri.tls ? tlsOptionsOf(this.#options.tls, this.endpoint) : undefined;
    const connection = await RedisConnection.open(this.endpoint, tls, {
      made: (connection) => {
        this.#connection = connection;
        processRef.use(connection);
        if (this.#loss !== undefined) connection.destroy(this.#loss);
      },
      published: (bytes) => this.#onPublished(bytes),
      unsubscribed: (channel) => this.#shardChannels.onEnded(channel),
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
    if (member === undefined) {
      this.#asking = setInterval(() => this.#askForPart(), askTime);
      this.#asking.unref();
    }
    if (this.#heartbeatTime > 0) {
      this.#heartbeat = new RedisHeartbeat(
        this.#heartbeatTime,
        () => this.ping(),
        () => this.abort(new Error(`the server did not answer for ${uri.heartbeat} s`)),
      );
    }
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
      this.#loadScripts(scriptsFor(member && this.nodeId)),
    ]);
    if (this.#loss !== undefined) throw this.#loss;
    this.state = state;
    this.#replication.counted(state.replicas);
    this.isPrepared = true;
    for (const { problem } of state.hazards) warn(problem);
  }

  /** Sends the server the scripts that it does not know. It keeps them for all clients until it ends. */
  async #loadScripts(scripts: readonly Script[]): Promise<void> {
    for (const { name, sha } of scripts) this.#shas[name] = sha;
    const question = ["SCRIPT", "EXISTS", ...scripts.map(({ sha }) => sha)];
    const known = await this.#send(question, undefined, () => true).catch((error) => {
      if (this.#loss !== undefined) throw error;
      return []; // the user may not ask
    });
    const missing = scripts.filter((_, i) => known?.[i] !== 1);
    await Promise.all(missing.map(({ text }) => this.#send(["SCRIPT", "LOAD", text])));
  }

  /** Leaves a server that has become a replica: whoever runs no script that writes learns it by nothing else. */
  async #askForPart(): Promise<void> {
    try {
      const text = await this.#send(["INFO", "replication"], undefined, () => true);
      if (isReplica(String(text))) this.abort(new Error("the server has become a replica"));
    } catch (error) {
      // Otherwise the server cannot answer now, and is asked again, or the connection is lost.
      if (/^NOPERM/.test((error as Error).message)) clearInterval(this.#asking);
    }
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
    await this.#shardChannels.subscribe(this.#connection!, channel, ended);
  }

  unsubscribe(channel: string, ended: () => void): void {
    if (this.#loss === undefined) {
      this.#shardChannels.unsubscribe(this.#connection!, channel, ended);
    }
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  get loss(): Error | undefined {
    return this.#loss;
  }

  get lossError(): ChannelConnectionError {
    const { uri, member } = this.#options;
    const isOneOfSeveral = member !== undefined || uri.endpoints.length > 1;
    return lostConnection(
      this.address,
      this.#loss!,
      isOneOfSeveral ? shownEndpoint(this.endpoint) : undefined,
    );
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

  isReplicated(): Promise<boolean> {
    return this.#replication.isReplicated();
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

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    this.#heartbeat?.end();
    clearInterval(this.#asking);
    this.watch.end();
    this.#connection?.destroy(error);
    this.#links.clear();
    this.#shardChannels.clear();
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
  }
}

/** Returns a reply with text in place of bytes. */
function textOf(reply: Reply): Reply {
  if (Array.isArray(reply)) return reply.map(textOf);
  return reply instanceof Uint8Array ? String(reply) : reply;
}

/** Milliseconds between two questions whether a server is the primary. */
const askTime = 5000;

/** Stands for the refusal of a server that answers a script with something else than the script returns. */
const nonsense = "NONSENSE the reply is not one of the script";
