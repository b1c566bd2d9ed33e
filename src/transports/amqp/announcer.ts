import { ChannelSizeError } from "../../shared/errors.ts";
import { largestAnnouncement } from "./connection/announcement_queue.ts";

/** What an announcer works with. */
export interface AnnouncerOptions {
  readonly name: string;
  /** The broker's address. */
  readonly address: string;
  /** Publishes announcements, in their order. Rejects with a ChannelSizeError if one is too large. */
  publish(events: readonly Uint8Array[]): Promise<void>;
}

/**
 * The announcements of a channel by this process. They are published one batch after the other, each on one AMQP
 * channel, which keeps their order. Those that come meanwhile are the next batch.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  #events: Uint8Array[] = [];
  /** The batch that has not begun. */
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  /** The most bytes of an announcement, as far as is known on this connection. */
  #limit = largestAnnouncement;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Forgets the limit of the last connection's broker. */
  reset(): void {
    this.#limit = largestAnnouncement;
  }

  async announce(event: Uint8Array): Promise<void> {
    this.#checkSize(event);
    this.#events.push(event);
    await (this.#next ??= this.#last = this.#publishAfter(this.#last));
    this.#checkSize(event); // the broker may have told its limit meanwhile
  }

  #checkSize({ length: size }: Uint8Array): void {
    const limit = this.#limit;
    if (size <= limit) return;
    const { name, address } = this.#options;
    throw new ChannelSizeError(
      `announce on channel ${name}: the message has ${size} bytes, and ${address} accepts ${limit} in an ` +
        "announcement; send it in parts",
      { size, limit },
    );
  }

  async #publishAfter(previous: Promise<void>): Promise<void> {
    await previous.catch(() => {});
    this.#next = undefined;
    let events = this.#events;
    this.#events = [];
    while (events.length > 0) {
      try {
        return await this.#options.publish(events);
      } catch (error) {
        if (!(error instanceof ChannelSizeError)) throw error;
        const { limit } = error;
        const first = events.findIndex(({ length }) => length > limit);
        if (first < 0) throw error;
        // The broker has published the events before the first that is too large, and none after it.
        this.#limit = limit;
        events = events.slice(first).filter(({ length }) => length <= limit);
      }
    }
  }
}
