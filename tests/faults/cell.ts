import { Channel, type ChannelOptions } from "../../mod.ts";
import { until, within } from "../conformance/fixture.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import type { Server } from "./server.ts";

/** The effect of a fault on pending operations. Without it, all operations continue. */
export interface Meaning {
  /** The broker is unreachable for longer than `retryTimeout`: waiting operations reject. */
  readonly isOutage?: boolean;
  /** The queues are deleted: handles end. */
  readonly isDeletion?: boolean;
  /** The server has lost the values that it held, and the channels continue empty. */
  readonly isLoss?: boolean;
  /** The server ends between storing a put and confirming it, and does not know afterwards: it may store a copy. */
  readonly mayRepeat?: boolean;
}

/** One state during one fault, with a channel and a connection of its own. */
export class Cell implements AsyncDisposable {
  readonly title: string;
  readonly server: Server;
  readonly meaning: Meaning;
  readonly name: string;
  /** The name of the connection of the state's handles. */
  readonly connectionName: string;
  /** The URI that they connect to. */
  readonly uri: string;
  /** In milliseconds. */
  readonly retryTimeout: number;
  /** The proxy before the server, if the fault needs one. */
  readonly proxy: Proxy | undefined;
  readonly #options: ChannelOptions;
  readonly #handles = new Set<Channel<number>>();
  readonly #names = new Set<string>();

  private constructor(title: string, options: CellOptions, proxy: Proxy | undefined) {
    this.title = title;
    const { server } = options;
    this.server = server;
    this.meaning = options.meaning;
    this.retryTimeout = options.retryTimeout ?? 30_000;
    this.name = `${options.fault}: ${title}`;
    this.proxy = proxy;
    this.#options = server.channelOptions(options.isQuorum);
    this.connectionName = options.isShared ? options.fault : this.name;
    this.uri = server.uriAt(proxy?.port ?? server.port, this.connectionName);
  }

  static async open(title: string, options: CellOptions): Promise<Cell> {
    const { server, hasProxy } = options;
    const proxy = hasProxy ? await startProxy(server.port, server.framing) : undefined;
    return new Cell(title, options, proxy);
  }

  /**
   * Returns a handle on the cell's channel, on the connection that the fault affects. It writes JSON, which can be read
   * without the library.
   */
  channel(options: ChannelOptions = {}): Channel<number> {
    const { name, uri, retryTimeout } = this;
    const defaults = { name, connection: uri, retryTimeout, encoding: "json" } as const;
    const channel = new Channel<number>({ ...this.#options, ...defaults, ...options });
    this.#handles.add(channel);
    this.#names.add(channel.name);
    return channel;
  }

  /** The names of the channels that this cell has used. */
  get names(): string[] {
    return [...this.#names];
  }

  /** Puts values on another connection, as another process would. */
  async feed(values: number[]): Promise<void> {
    const feeding = this.channel({ connection: this.server.uri });
    await Promise.all(values.map((value) => feeding.put(value)));
    await feeding.close();
  }

  /** Asserts that a value passes through a handle, the one that met the fault or another. */
  async works(channel: Channel<number>): Promise<void> {
    await within(channel.put(-1), bound);
    while (await within(channel.get(), bound) !== -1);
  }

  /** Asserts the same with a new handle, after the fault has ended the old one. */
  async worksAnew(): Promise<void> {
    const anew = this.channel();
    await this.works(anew);
    await anew.close();
  }

  /** Removes everything, including the channels at the server. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closing = [...this.#handles].map((handle) => within(handle.close()));
    const outcomes = await Promise.allSettled(closing);
    for (const name of this.#names) {
      const last = new Channel({ name, connection: this.uri });
      await last.delete({ timeout: bound });
      await last.close();
    }
    await this.proxy?.[Symbol.asyncDispose]();
    for (const each of outcomes) if (each.status === "rejected") throw each.reason;
  }
}

/** The options of a {@linkcode Cell}. */
export interface CellOptions {
  readonly server: Server;
  readonly fault: string;
  readonly meaning: Meaning;
  readonly retryTimeout: number | undefined;
  readonly hasProxy: boolean;
  /** Whether all states share one connection. */
  readonly isShared: boolean;
  /** Whether channels are quorum queues. */
  readonly isQuorum: boolean;
}

/** The time in milliseconds in which all operations continue after a fault. */
export const bound = 20_000;

/** Waits for a condition that the fault may delay. */
export function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  return until(condition, bound, 10);
}
