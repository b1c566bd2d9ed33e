import type { AMQPChannel } from "@cloudamqp/amqp-client";
import type { ChannelConnectionError } from "../../errors.ts";
import { Bulletin } from "./bulletin.ts";
import { connectFailure, lostConnection } from "./failure.ts";
import { type Lane, Lanes } from "./lanes.ts";
import { Publisher } from "./publisher.ts";
import { closeTimeout, within } from "../../within.ts";
import type { AmqpUri } from "./uri.ts";
import { Wire } from "./wire.ts";

/**
 * One live connection to a broker, from its opening to its loss; it never comes back, another session
 * does.
 */
export class Session {
  readonly address: string;
  readonly publisher: Publisher;
  readonly bulletin: Bulletin;
  readonly lanes: Lanes;
  readonly #wire: Wire;
  readonly #onLost = new Set<() => void>();
  #loss: Error | undefined;

  private constructor(address: string, wire: Wire, publisher: Publisher, bulletin: Bulletin) {
    this.address = address;
    this.#wire = wire;
    this.publisher = publisher;
    this.bulletin = bulletin;
    this.lanes = new Lanes(wire);
    wire.ondisconnect = (error) => this.#lose(error ?? new Error("the broker closed it"));
    wire.onunblocked = () => publisher.unblock();
    publisher.onLost = bulletin.onLost = (reason) => {
      this.#lose(new Error(reason));
      wire.destroy();
    };
  }

  /** Rejects with a ChannelConnectionError, after `attemptTimeout` at the latest, or on `signal`. */
  static async connect(uri: AmqpUri, signal: AbortSignal): Promise<Session> {
    const wire = new Wire(uri);
    let giveUp: (error: Error) => void;
    const givenUp = new Promise<never>((_, reject) => giveUp = reject);
    const timer = setTimeout(
      () => giveUp(new Error(`no answer within ${attemptTimeout} ms`)),
      attemptTimeout,
    );
    const onAbort = () => giveUp(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    wire.hold();
    try {
      return await Promise.race([Session.#open(uri, wire), givenUp]);
    } catch (error) {
      wire.destroy();
      throw connectFailure(error, uri);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      wire.unhold();
    }
  }

  static async #open(uri: AmqpUri, wire: Wire): Promise<Session> {
    let lost: Error | undefined;
    wire.ondisconnect = (error) => lost = error ?? new Error("the broker closed the connection");
    await wire.connect();
    const id = messagePrefix();
    const [publisher, bulletin] = await Promise.all([
      Publisher.open(() => wire.channel(), id),
      wire.channel().then((channel) => Bulletin.open(channel, id)),
    ]);
    if (lost !== undefined) throw lost;
    return new Session(uri.address, wire, publisher, bulletin);
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** Calls `listener` once, when the connection is lost. */
  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  /** The error for an operation that the loss of the connection has ended. */
  lossError(action: string): ChannelConnectionError {
    return lostConnection(action, this.address, this.#loss);
  }

  /** Keeps the process alive while `work` is pending. */
  async holding<T>(work: Promise<T>): Promise<T> {
    this.#wire.hold();
    try {
      return await work;
    } finally {
      this.#wire.unhold();
    }
  }

  hold(): void {
    this.#wire.hold();
  }

  unhold(): void {
    this.#wire.unhold();
  }

  /** Runs `use` on an AMQP channel that nobody else uses. */
  administer<T>(use: (channel: AMQPChannel, lane: Lane) => Promise<T>): Promise<T> {
    return this.holding(this.lanes.with(use));
  }

  /** Closes the connection, politely for a second at most. Never rejects. */
  async close(): Promise<void> {
    if (this.isLost) return;
    this.#lose(new Error("it was closed here"));
    this.#wire.hold();
    const { socket } = this.#wire;
    const closed = this.#wire.close().catch(() => {}); // pending for ever where the socket ends first
    const ended = new Promise<void>((resolve) => socket?.once("close", () => resolve()));
    await within(closeTimeout, Promise.race([closed, ended]));
    this.#wire.destroy();
    this.#wire.unhold();
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
    this.publisher.unblock();
    this.lanes.wake();
  }
}

/** Milliseconds for TCP, TLS and AMQP to open a connection. */
const attemptTimeout = 10_000;

/** 64 random bits and a separator. */
function messagePrefix(): string {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return `${high!.toString(36)}${low!.toString(36)}-`;
}
