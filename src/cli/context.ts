import { Channel, type ChannelOptions, Connection } from "../../mod.ts";
import { existingChannel, RawChannel } from "../channel/raw_channel.ts";
import { settings } from "../connection/config.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { UsageError } from "./cli_error.ts";
import type { CommonOptions } from "./common_options.ts";
import type { CommandWords } from "./completion.ts";
import type { Output } from "./output.ts";

/** What a command works with. */
export class Context {
  /** The name of the command, for messages. */
  readonly name: string;
  readonly output: Output;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly #options: CommonOptions;
  readonly #channels = new Set<Pick<Channel, "close">>();
  #connection: Promise<Connection> | undefined;

  /** Returns the words of all commands and their options. */
  readonly words: () => Promise<readonly CommandWords[]>;

  constructor(
    name: string,
    options: CommonOptions,
    output: Output,
    signal: AbortSignal,
    words: () => Promise<readonly CommandWords[]>,
  ) {
    this.name = name;
    this.words = words;
    this.output = output;
    this.signal = signal;
    this.#options = options;
  }

  /** The options of an operation that may wait: the signal, and `--timeout` if it is given. */
  get waiting(): { readonly signal: AbortSignal; readonly timeout?: number } {
    const { timeout } = this.#options;
    return timeout === undefined ? { signal: this.signal } : { signal: this.signal, timeout };
  }

  /**
   * Returns the connection of `--connection`, or else of the configuration: the variable `CHANNELTS_URI`, or a file. Its
   * log goes to stderr.
   *
   * @throws {UsageError} for `memory:`, whose channels end with the program
   */
  connection(): Promise<Connection> {
    return this.#connection ??= this.#connect();
  }

  async #connect(): Promise<Connection> {
    const { connection } = this.#options;
    const { uri, retryTimeout } = connection === undefined
      ? await settings()
      : { uri: connection, retryTimeout: undefined };
    return this.connectionTo(uri, retryTimeout);
  }

  /** Returns a connection to a URI, as {@linkcode Context.connection} does. */
  connectionTo(uri: string, retryTimeout?: number): Connection {
    if (/^memory:/i.test(uri)) {
      throw new UsageError(
        `${this.name}: the channels of ${withoutCredentials(uri)} end with this program; ` +
          "name a broker, a home or a file by --connection or CHANNELTS_URI",
      );
    }
    const warn = (text: string) => {
      if (text.endsWith("; no further try")) return; // operations reject with the same text
      this.output.warn(text.replace(/^ChannelTS: /, ""));
    };
    return new Connection(uri, {
      ...retryTimeout === undefined ? {} : { retryTimeout },
      logger: { error: warn, warn },
    });
  }

  /** Returns a channel on the connection. It is closed when the command has ended, which releases what it holds. */
  async channel<T = unknown>(name: string, options: ChannelOptions = {}): Promise<Channel<T>> {
    return this.open<T>({ connection: await this.connection(), ...options, name });
  }

  /**
   * Returns a channel on the connection that is not created if it does not exist: its operations then reject with a
   * ChannelClosedError. It is closed when the command has ended.
   */
  async existing<T = unknown>(name: string): Promise<Channel<T>> {
    const connection = await this.connection();
    const channel = existingChannel(new Channel<T>({ connection, name }));
    this.#channels.add(channel);
    return channel;
  }

  /**
   * Returns a channel whose messages are received and put as they are. It is closed when the command has ended.
   *
   * @param create whether it is created if it does not exist; otherwise its operations reject as those of `existing`
   */
  async raw(name: string, options: { readonly create?: boolean } = {}): Promise<RawChannel> {
    const connection = await this.connection();
    const channel = new RawChannel(new Channel({ connection, name }), {
      ...options,
      action: this.name,
    });
    this.#channels.add(channel);
    return channel;
  }

  /** Returns the messages of a channel as they are. The channel is created if it is missing. */
  rawOf(channel: Channel): RawChannel {
    const raw = new RawChannel(channel, { create: true });
    this.#channels.add(raw);
    return raw;
  }

  /** Returns a channel of any options, which is closed when the command has ended. */
  open<T = unknown>(options: ChannelOptions): Channel<T> {
    const channel = new Channel<T>(options);
    this.#channels.add(channel);
    return channel;
  }

  /** Closes the channels. Bounded in time; never rejects. */
  async end(): Promise<void> {
    await Promise.all([...this.#channels].map((channel) => channel.close()));
  }
}
