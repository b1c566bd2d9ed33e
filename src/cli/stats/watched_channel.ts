import {
  type Channel,
  ChannelClosedError,
  ChannelConnectionError,
  ChannelTimeoutError,
} from "../../../mod.ts";
import type { Context } from "../context.ts";

/** What is known of a channel at a moment. A figure that the engine cannot tell is absent. */
export interface Figures {
  readonly name: string;
  /** ISO 8601. */
  readonly time: string;
  readonly depth?: number;
  /** By how many values the depth has changed a second, since the last reading. */
  readonly change?: number;
  readonly loans?: number;
  readonly consumers?: number;
  readonly delayed?: number;
  readonly capacity?: number;
  readonly closed?: boolean;
  readonly deadLetters?: number;
  /** Why there are no figures. */
  readonly trouble?: string;
}

interface Waiting {
  readonly signal: AbortSignal;
  readonly timeout?: number;
}

/** A channel whose figures are read again and again. Reading creates no channel. */
export class WatchedChannel {
  readonly #context: Context;
  readonly #name: string;
  #channel: Channel | undefined;
  #dead: Channel | undefined;
  /** The last depth, and when it was read. */
  #last: { readonly depth: number; readonly at: number } | undefined;

  constructor(context: Context, name: string) {
    this.#context = context;
    this.#name = name;
  }

  /** Reads the figures. @throws the errors of {@linkcode Channel.depth} */
  async read(waiting: Waiting): Promise<Figures> {
    const context = this.#context;
    // A handle is closed for good when somebody has closed the channel for all.
    if (this.#channel === undefined || this.#channel.closed) {
      await this.#channel?.close();
      this.#channel = await context.existing(this.#name);
    }
    const channel = this.#channel;
    const [{ depth, ...others }, deadLetters] = await Promise.all([
      figuresOf(channel, waiting),
      this.#deadLetters(channel, waiting),
    ]);
    const at = performance.now();
    const change = this.#last && (depth - this.#last.depth) / (at - this.#last.at) * 1000;
    this.#last = { depth, at };
    return {
      name: this.#name,
      time: new Date().toISOString(),
      depth,
      ...change === undefined ? {} : { change: Math.round(change * 10) / 10 },
      ...others,
      ...deadLetters === undefined ? {} : { deadLetters },
    };
  }

  /**
   * Reads the figures; if that may succeed later, returns why it failed.
   *
   * @throws what will not change, such as a missing permission, and the reason of the signal
   */
  async readOrTrouble(waiting: Waiting): Promise<Figures> {
    try {
      return await this.read(waiting);
    } catch (error) {
      if (!isTemporary(error)) throw error;
      this.#last = undefined;
      return { name: this.#name, time: new Date().toISOString(), trouble: error.message };
    }
  }

  /** Returns the number of dead letters; undefined if it cannot be read. */
  async #deadLetters(channel: Channel, waiting: Waiting): Promise<number | undefined> {
    try {
      if (this.#dead === undefined || this.#dead.closed) {
        await this.#dead?.close();
        this.#dead = await this.#context.existing(channel.deadLetters.name);
      }
      return await this.#dead.depth(waiting);
    } catch (error) {
      waiting.signal.throwIfAborted();
      // The first dead letter creates their channel. If it may not be read, the channel itself may be.
      return error instanceof ChannelClosedError ? 0 : undefined;
    }
  }
}

async function figuresOf(
  channel: Channel,
  waiting: Waiting,
): Promise<{ readonly depth: number } & Partial<Figures>> {
  return await channel.stats(waiting);
}

function isTemporary(error: unknown): error is Error {
  return error instanceof ChannelTimeoutError || error instanceof ChannelClosedError ||
    error instanceof ChannelConnectionError && error.transient;
}
