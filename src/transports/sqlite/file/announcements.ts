import { type Mailbox, news } from "./mailbox.ts";
import type { Statements } from "./statements.ts";

/** How many announcements of a channel wait at most for sessions that do not hear them, such as stopped ones. */
const most = 1000;
/** The same in bytes, but for the newest announcement. */
const mostBytes = 8 << 20;

/** What was announced; without an event, that the channel is gone. */
export interface Announcement {
  /** Its number in its channel. */
  readonly seq: number;
  /** Whose it is. */
  readonly session: number;
  /** Null in what this session has announced itself, too. */
  readonly event: Uint8Array | null;
}

/** What became of an announcement that others wait for. */
export interface Posted {
  readonly seq: number;
  /** Whether its own session has heard all that is older, and so this. */
  readonly isHeard: boolean;
}

/**
 * What is announced on channels: each announcement is one row, however many sessions are to hear it, until all
 * have. Where one does not hear, the oldest are dropped; those that control a channel outlast the others.
 */
export class Announcements {
  /** Whose they are. */
  session = 0;
  readonly #sql: Statements;
  readonly #mailbox: Mailbox;

  constructor(sql: Statements, mailbox: Mailbox) {
    this.#sql = sql;
    this.#mailbox = mailbox;
  }

  /** Tells every other session on a channel; undefined where there is none. */
  post(channel: number, event: Uint8Array | null, isControl: boolean): Posted | undefined {
    if (!this.#mailbox.send(channel, news)) return undefined;
    const total = this.#sql.get<{ seq: number; bytes: number }>(
      "UPDATE channels SET announced = announced + 1, announced_bytes = announced_bytes + ? " +
        "WHERE id = ? RETURNING announced AS seq, announced_bytes AS bytes",
      event?.byteLength ?? 0,
      channel,
    );
    if (total === undefined) return undefined; // the channel is gone, and they know
    const { seq, bytes } = total;
    this.#sql.run(
      "INSERT INTO announcements (channel, seq, session, is_control, bytes, event) " +
        "VALUES (?, ?, ?, ?, ?, ?)",
      channel,
      seq,
      this.session,
      isControl ? 1 : 0,
      bytes,
      event,
    );
    if (isControl) this.#dropControls(channel);
    else this.#drop(channel, seq, bytes);
    const { changes } = this.#sql.run(
      "UPDATE links SET heard = ?1 WHERE channel = ?2 AND session = ?3 AND heard = ?1 - 1",
      seq,
      channel,
      this.session,
    );
    return { seq, isHeard: changes !== 0 };
  }

  /** What was announced on a channel after a number. */
  read(channel: number, after: number): Announcement[] {
    return this.#sql.all<Announcement>(
      "SELECT seq, session, CASE WHEN session = ? THEN NULL ELSE CAST(event AS BLOB) END AS event " +
        "FROM announcements WHERE channel = ? AND seq > ? ORDER BY seq",
      this.session,
      channel,
      after,
    );
  }

  /** This session has heard all of a channel up to a number. */
  hear(channel: number, upTo: number): void {
    this.#sql.run(
      "UPDATE links SET heard = max(heard, ?) WHERE channel = ? AND session = ?",
      upTo,
      channel,
      this.session,
    );
    this.dropHeard(channel);
  }

  /** Drops what all sessions on a channel have heard. */
  dropHeard(channel: number): void {
    this.#sql.run(
      "DELETE FROM announcements WHERE channel = ?1 AND seq <= " +
        "coalesce((SELECT min(heard) FROM links WHERE channel = ?1), 9e15)",
      channel,
    );
  }

  /** Drops the oldest that are too many. */
  #drop(channel: number, newest: number, total: number): void {
    for (;;) {
      const oldest = this.#sql.get<{ id: number; seq: number; bytes: number }>(
        "SELECT id, seq, bytes FROM announcements WHERE channel = ? AND is_control = 0 " +
          "ORDER BY seq LIMIT 1",
        channel,
      );
      if (oldest === undefined || oldest.seq === newest) return;
      if (oldest.seq > newest - most && oldest.bytes > total - mostBytes) return;
      this.#sql.run("DELETE FROM announcements WHERE id = ?", oldest.id);
    }
  }

  #dropControls(channel: number): void {
    this.#sql.run(
      "DELETE FROM announcements WHERE id IN (SELECT id FROM announcements " +
        "WHERE channel = ? AND is_control = 1 ORDER BY seq DESC LIMIT -1 OFFSET ?)",
      channel,
      most,
    );
  }
}
