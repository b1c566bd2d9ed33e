import type { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import process from "node:process";
import type { ConnectionOptions } from "node:tls";
import type { Refable } from "../../remote/process_ref.ts";
import type { Endpoint } from "../../remote/uri_text.ts";
import { CommandBuffer, type CommandPart } from "./command_buffer.ts";
import { RedisRefusal, type Reply, ReplyReader, RespError } from "./reply_reader.ts";

/** What a connection tells of. */
export interface RedisConnectionListener {
  /** The connection is being opened, and can be destroyed. */
  made(connection: RedisConnection): void;
  /** A message was published to a channel to which this connection subscribes. */
  published(bytes: Buffer): void;
  /** The server has ended the subscription to a shard channel: it does not have its slot any more. */
  unsubscribed(channel: string): void;
  /** The connection is lost. Called once, and not after `destroy`. */
  lost(error: Error): void;
}

/** A command that is not answered. */
interface Sent {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
  /** Whether the server answers by pushes, one for each channel. */
  readonly isSubscription: boolean;
  /** The channel to which the command before it, which has no place here, ends the subscription. */
  unsubscribes?: string | undefined;
}

/**
 * A connection to a server, in RESP3: replies and messages of subscriptions share it. The commands of one turn of the event loop
 * leave in one write.
 *
 * Invariants: replies come in the order of the commands. Each command is answered, or rejected when the connection ends. A
 * connection that ended sends nothing more, and tells of nothing more.
 */
export class RedisConnection implements Refable {
  readonly #socket: Socket;
  readonly #listener: RedisConnectionListener;
  readonly #reader: ReplyReader;
  readonly #unsent = new CommandBuffer();
  /** The commands that are not answered, the oldest at `#first`. */
  #sent: (Sent | undefined)[] = [];
  #first = 0;
  #isScheduled = false;
  #isHeld = true;
  #rejectOpening: ((error: Error) => void) | undefined;
  #loss: Error | undefined;

  /** Resolves when the connection is open. Rejects with the reason why it is not, also that of `destroy`. */
  static async open(
    { host, port }: Endpoint,
    tls: ConnectionOptions | undefined,
    listener: RedisConnectionListener,
  ): Promise<RedisConnection> {
    const options = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay };
    const connectTls = tls === undefined ? undefined : (await import("node:tls")).connect;
    const socket = connectTls === undefined ? connect(options) : connectTls({ ...options, ...tls });
    const connection = new RedisConnection(socket, listener);
    listener.made(connection);
    await new Promise<void>((resolve, reject) => {
      if (connection.#loss !== undefined) return reject(connection.#loss);
      connection.#rejectOpening = reject;
      socket.once(connectTls === undefined ? "connect" : "secureConnect", resolve);
    });
    // The runtime may have replaced what is inside the socket.
    if (connection.#isHeld) socket.ref();
    else socket.unref();
    return connection;
  }

  private constructor(socket: Socket, listener: RedisConnectionListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#reader = new ReplyReader({
      replied: (reply) => this.#replied(reply),
      pushed: (items) => this.#pushed(items),
    });
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("error", (error: Error) => this.#lose(error));
    socket.on("close", () => this.#lose(new Error("the server closed it")));
  }

  /**
   * Sends a command, after all earlier ones. Rejects with a {@linkcode RedisRefusal} if the server refuses it, or with the
   * reason why the connection was lost.
   */
  send(command: readonly CommandPart[], more?: readonly CommandPart[]): Promise<Reply> {
    return this.#send(command, more, false);
  }

  /**
   * Subscribes to a channel.
   *
   * @param isSharded whether it is a shard channel of a cluster
   */
  subscribe(channel: string, isSharded = false): Promise<Reply> {
    return this.#send([isSharded ? "SSUBSCRIBE" : "SUBSCRIBE", channel], undefined, true);
  }

  /** Ends a subscription. */
  unsubscribe(channel: string, isSharded = false): void {
    if (this.#loss !== undefined) return;
    this.#unsent.add([isSharded ? "SUNSUBSCRIBE" : "UNSUBSCRIBE", channel]);
    // What the server says by itself of a shard channel cannot be told from the answer, which may be a refusal then. So a command
    // follows whose answer can be told.
    this.#send(["PING", unsubscribedMark], undefined, false).catch(() => {}); // the connection is lost
    this.#sent.at(-1)!.unsubscribes = channel;
  }

  ref(): void {
    this.#isHeld = true;
    this.#socket.ref();
  }

  unref(): void {
    this.#isHeld = false;
    this.#socket.unref();
  }

  /** Ends the connection. What was not answered rejects with the error. */
  destroy(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    this.#socket.destroy();
    this.#rejectOpening?.(error);
    for (let sent = this.#next(); sent !== undefined; sent = this.#next()) sent.reject(error);
  }

  #send(
    command: readonly CommandPart[],
    more: readonly CommandPart[] | undefined,
    isSubscription: boolean,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#loss !== undefined) return reject(this.#loss);
      this.#sent.push({ resolve, reject, isSubscription });
      this.#unsent.add(command, more);
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      process.nextTick(() => this.#flush());
    });
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#loss !== undefined) return;
    const pieces = this.#unsent.take();
    if (pieces.length > 1) this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    if (pieces.length > 1) this.#socket.uncork();
  }

  #read(bytes: Buffer): void {
    if (this.#loss !== undefined) return;
    try {
      this.#reader.read(bytes);
    } catch (error) {
      if (!(error instanceof RespError)) throw error;
      this.#lose(error);
    }
  }

  #replied(reply: Reply): void {
    if (reply instanceof RedisRefusal) {
      const first = this.#sent[this.#first];
      if (first?.unsubscribes !== undefined) {
        first.unsubscribes = undefined; // the node does not have the slot, so there was nothing to end
        return;
      }
    }
    const sent = this.#next();
    if (sent === undefined) {
      if (this.#loss !== undefined) return;
      // A server that takes no more clients says so without being asked.
      this.#lose(reply instanceof RedisRefusal ? reply : new RespError());
    } else if (reply instanceof RedisRefusal) sent.reject(reply);
    else sent.resolve(reply);
  }

  #pushed([kind, channel, value]: readonly Reply[]): void {
    switch (String(kind)) {
      case "message":
      case "smessage":
        if (!(value instanceof Uint8Array)) throw new RespError();
        if (this.#loss === undefined) this.#listener.published(value as Buffer);
        return;
      case "subscribe":
      case "ssubscribe":
        if (this.#sent[this.#first]?.isSubscription) this.#next()!.resolve(value);
        return;
      case "sunsubscribe":
        if (this.#loss !== undefined) return;
        if (this.#sent[this.#first]?.unsubscribes === String(channel)) return;
        this.#listener.unsubscribed(String(channel));
    }
  }

  /** Removes and returns the oldest command that is not answered. */
  #next(): Sent | undefined {
    if (this.#first === this.#sent.length) return undefined;
    const sent = this.#sent[this.#first];
    this.#sent[this.#first++] = undefined;
    if (this.#first === this.#sent.length) {
      this.#sent.length = 0;
      this.#first = 0;
    } else if (this.#first === mostGaps) {
      this.#sent = this.#sent.slice(mostGaps);
      this.#first = 0;
    }
    return sent;
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.destroy(error);
    this.#listener.lost(error);
  }
}

/** Milliseconds of silence after which the system asks whether the server is there. */
const keepAliveInitialDelay = 30_000;

/** How many answered commands are kept before the others move. */
const mostGaps = 1024;

/** What the command after the end of a subscription asks for. */
const unsubscribedMark = "unsubscribed";
