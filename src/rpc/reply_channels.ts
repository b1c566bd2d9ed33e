import { Handle } from "../handle/handle.ts";
import { unref } from "../shared/timers.ts";
import type { Request } from "./protocol.ts";
import { type Job, ReplyChannel } from "./reply_channel.ts";

/** The options of {@linkcode ReplyChannels}. */
export interface ReplyChannelsOptions {
  /** Whether errors are sent with their stacks. */
  readonly stacks: boolean;
  /** Milliseconds for which a reply is tried. */
  readonly timeout: number;
  /** Whether a reply channel that does not exist is created. */
  readonly create: boolean;
}

/**
 * The reply channels of the requesters that a server answers. A reply channel stays attached between requests, because
 * attaching costs more than a request; it is closed after `closeAfter`, because the attachment keeps alive the channel
 * of a requester that may be dead.
 */
export class ReplyChannels {
  readonly #options: ReplyChannelsOptions;
  /** By encoding and title. */
  readonly #channels = new Map<string, ReplyChannel>();
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(options: ReplyChannelsOptions) {
    this.#options = options;
  }

  begin({ id, replyTo }: Request): Job {
    const { name, title, encoding } = replyTo;
    const key = `${encoding} ${title}`;
    let channel = this.#channels.get(key);
    if (channel === undefined || channel.closed) {
      this.#channels.delete(key);
      if (this.#channels.size >= mostIdle) this.#sweep(0);
      channel = this.#open(name, replyTo);
      this.#channels.set(key, channel);
    }
    this.#sweeping ??= startSweeping(() => this.#sweep(closeAfter));
    // A channel for one reply is closed when its request is settled.
    return channel.begin(id, () => id === undefined && this.#closeIfIdle(key, channel));
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await Promise.all([...this.#channels.values()].map((channel) => channel.close()));
  }

  #open(name: string, { options }: Handle): ReplyChannel {
    const { stacks, timeout, create } = this.#options;
    const handle = new Handle({ ...options, name, stacks, create: create && options.create });
    return new ReplyChannel(handle, timeout);
  }

  #closeIfIdle(key: string, channel: ReplyChannel): void {
    if (!channel.isIdle) return;
    if (this.#channels.get(key) === channel) this.#channels.delete(key);
    channel.close();
  }

  /** Closes the idle channels that were not used for `idleTime` milliseconds. */
  #sweep(idleTime: number): void {
    const last = performance.now() - idleTime;
    for (const [key, channel] of this.#channels) {
      if (channel.closed || channel.lastUsed <= last) this.#closeIfIdle(key, channel);
    }
  }
}

function startSweeping(sweep: () => void): ReturnType<typeof setInterval> {
  const timer = setInterval(sweep, closeAfter);
  unref(timer);
  return timer;
}

/** Milliseconds without use after which a reply channel is closed. */
const closeAfter = 30_000;

/** The number of idle reply channels that stay attached. */
const mostIdle = 256;
