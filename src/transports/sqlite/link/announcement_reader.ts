import type { Announcements, Posted } from "../file/announcements.ts";

/** The announcements that a link reads at once. */
export interface NewAnnouncements {
  /** The number of the last one. */
  readonly last: number;
  /** The number of announcements of other sessions that were dropped before they were read. */
  readonly missed: number;
  /** The events of other sessions; null says that the channel is deleted. */
  readonly events: readonly (Uint8Array | null)[];
}

/** Reads the announcements of one channel for one link, each once. */
export class AnnouncementReader {
  readonly #channel: number;
  readonly #announcements: Announcements;
  /** The number of the last announcement that was read, or precedes the link. */
  #heard: number;
  /** The number of later announcements that this link itself has made. */
  #own = 0;

  /** @param heard the number of the channel's last announcement, which precedes the link */
  constructor(channel: number, announcements: Announcements, heard: number) {
    this.#channel = channel;
    this.#announcements = announcements;
    this.#heard = heard;
  }

  /** Counts an announcement of the link itself; undefined if it was not written, as nobody else reads. */
  addOwn(posted: Posted | undefined): void {
    if (posted?.isHeard) this.#heard = posted.seq;
    else if (posted !== undefined) this.#own++;
  }

  /** Reads the new announcements; undefined if there are none. */
  read(): NewAnnouncements | undefined {
    const found = this.#announcements.read(this.#channel, this.#heard);
    const last = found.at(-1)?.seq;
    if (last === undefined) return undefined;
    const events = found.filter((one) => !this.#announcements.isOwn(one)).map(({ event }) => event);
    const missed = last - this.#heard - this.#own - events.length;
    this.#heard = last;
    this.#own = 0;
    return { last, missed, events };
  }
}
