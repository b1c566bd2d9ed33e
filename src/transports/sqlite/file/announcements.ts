import { announced, type Mailbox } from "./mailbox.ts";
import type { Statements } from "./statements.ts";

/** The largest number of announcements that a channel keeps for sessions that do not read them. */
const maxCount = 1000;
/** The largest number of bytes that a channel keeps for them; the newest announcement is kept in any case. */
const maxBytes = 8 << 20;

/** An announcement of a channel. */
export interface Announcement {
  /** Its number in its channel. */
  readonly seq: number;
  /** The session that has made it. */
  readonly session: number;
  /** Null says that the channel was deleted. It is null in the announcements of this session, too. */
  readonly event: Uint8Array | null;
}

/** An announcement that was written for other sessions. */
export interface Posted {
  readonly seq: number;
  /** Whether its own session has read all older announcements, so that this one counts as read. */
  readonly isHeard: boolean;
}

/**
 * The announcements of all channels. Each is one row, however many sessions read it, and is deleted when all
 * have. While a session does not read, the oldest announcements are dropped; control announcements are dropped
 * only for newer control announcements.
 */
export class Announcements {
  readonly #sql: Statements;
  readonly #mailbox: Mailbox;

  constructor(sql: Statements, mailbox: Mailbox) {
    this.#sql = sql;
    this.#mailbox = mailbox;
  }

  /** Writes an announcement for all other sessions on a channel. Returns undefined if there are none. */
  post(channel: number, event: Uint8Array | null, isControl: boolean): Posted | undefined {
    if (!this.#mailbox.send(channel, announced)) return undefined;
    const total = this.#sql.get<{ seq: number; bytes: number }>(
      "UPDATE channels SET announced = announced + 1, announced_bytes = announced_bytes + ? " +
        "WHERE id = ? RETURNING announced AS seq, announced_bytes AS bytes",
      event?.byteLength ?? 0,
      channel,
    );
    if (total === undefined) return undefined; // the channel is deleted, which was announced before
    const { seq, bytes } = total;
    this.#sql.run(
      "INSERT INTO announcements (channel, seq, session, is_control, bytes, event) " +
        "VALUES (?, ?, ?, ?, ?, ?)",
      channel,
      seq,
      this.#sql.session,
      isControl ? 1 : 0,
      bytes,
      event,
    );
    if (isControl) this.#dropControls(channel);
    else this.#drop(channel, seq, bytes);
    const { changes } = this.#sql.run(
      "UPDATE links SET heard = ? WHERE channel = ? AND session = ? AND heard = ?",
      seq,
      channel,
      this.#sql.session,
      seq - 1,
    );
    return { seq, isHeard: changes !== 0 };
  }

  /** Returns the announcements of a channel after a number. */
  read(channel: number, after: number): Announcement[] {
    return this.#sql.all<Announcement>(
      "SELECT seq, session, CASE WHEN session = ? THEN NULL ELSE CAST(event AS BLOB) END AS event " +
        "FROM announcements WHERE channel = ? AND seq > ? ORDER BY seq",
      this.#sql.session,
      channel,
      after,
    );
  }

  /** Whether this session has made an announcement. */
  isOwn({ session }: Announcement): boolean {
    return session === this.#sql.session;
  }

  /** Records that this session has read the announcements of a channel up to a number. */
  setHeard(channel: number, upTo: number): void {
    this.#sql.run(
      "UPDATE links SET heard = max(heard, ?) WHERE channel = ? AND session = ?",
      upTo,
      channel,
      this.#sql.session,
    );
    this.dropHeard(channel);
  }

  /** Deletes the announcements that all sessions on a channel have read. */
  dropHeard(channel: number): void {
    this.#sql.run(
      "DELETE FROM announcements WHERE channel = ? AND seq <= " +
        "coalesce((SELECT min(heard) FROM links WHERE channel = ?), 9e15)",
      channel,
      channel,
    );
  }

  /** Deletes the oldest announcements, except control announcements, that are beyond the limits. */
  #drop(channel: number, newest: number, total: number): void {
    for (;;) {
      const oldest = this.#sql.get<{ id: number; seq: number; bytes: number }>(
        "SELECT id, seq, bytes FROM announcements WHERE channel = ? AND is_control = 0 " +
          "ORDER BY seq LIMIT 1",
        channel,
      );
      if (oldest === undefined || oldest.seq === newest) return;
      if (oldest.seq > newest - maxCount && oldest.bytes > total - maxBytes) return;
      this.#sql.run("DELETE FROM announcements WHERE id = ?", oldest.id);
    }
  }

  #dropControls(channel: number): void {
    this.#sql.run(
      "DELETE FROM announcements WHERE id IN (SELECT id FROM announcements " +
        "WHERE channel = ? AND is_control = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?)",
      channel,
      maxCount,
    );
  }
}
