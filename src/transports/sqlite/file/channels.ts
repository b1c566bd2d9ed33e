import type { Announcements } from "./announcements.ts";
import type { FileClock } from "./clock.ts";
import type { DelayedMessages } from "./delayed.ts";
import { type Mailbox, stateChanged } from "./mailbox.ts";
import type { Messages } from "./messages.ts";
import type { RoomWaiters } from "./room_waiters.ts";
import type { Statements } from "./statements.ts";
import type { Waiters } from "./waiters.ts";

/** A channel as the file stores it. */
export interface ChannelState {
  /** The number of messages that wait. */
  readonly depth: number;
  readonly is_closed: number;
  readonly capacity: number | null;
  /** The number of messages, those on loan included, if there is a capacity. */
  readonly size: number;
}

/** The parts of the file that belong to channels. */
export interface ChannelTables {
  readonly clock: FileClock;
  readonly mailbox: Mailbox;
  readonly announcements: Announcements;
  readonly messages: Messages;
  readonly delayed: DelayedMessages;
  readonly waiters: Waiters;
  readonly roomWaiters: RoomWaiters;
}

/** The channels of the file, and which sessions are attached to them. */
export class Channels {
  readonly #sql: Statements;
  readonly #tables: ChannelTables;

  constructor(sql: Statements, tables: ChannelTables) {
    this.#sql = sql;
    this.#tables = tables;
  }

  /** Returns the channel with a name; undefined if there is none. A channel whose lease is over is deleted. */
  find(name: string): number | undefined {
    const found = this.#sql.get<{ id: number; expires: number | null }>(
      "SELECT id, expires FROM channels WHERE name = ?",
      name,
    );
    if (
      found === undefined || found.expires === null || found.expires > this.#tables.clock.now()
    ) return found?.id;
    this.delete(found.id);
    return undefined;
  }

  create(name: string, lease: number | undefined, capacity: number | undefined): number {
    this.#sql.run(
      "INSERT INTO channels (name, lease, capacity) VALUES (?, ?, ?)",
      name,
      lease ?? null,
      capacity ?? null,
    );
    return this.#sql.lastId();
  }

  /** Returns the state of a channel; undefined if it is deleted. */
  state(channel: number): ChannelState | undefined {
    return this.#sql.get<ChannelState>(
      "SELECT max(0, min(CAST(depth AS INTEGER), 9007199254740991)) AS depth, is_closed, size, " +
        "CASE WHEN typeof(capacity) = 'integer' AND capacity BETWEEN 0 AND 9007199254740991 " +
        "THEN capacity END AS capacity FROM channels WHERE id = ?",
      channel,
    );
  }

  /** Closes a channel to puts, and notifies all links on it. */
  close(channel: number): void {
    const { changes } = this.#sql.run(
      "UPDATE channels SET is_closed = 1 WHERE id = ? AND is_closed = 0",
      channel,
    );
    if (changes !== 0) this.#tables.mailbox.send(channel, stateChanged);
  }

  /** Attaches this session. Returns the number of the channel's last announcement, which precedes the link. */
  attach(channel: number): number {
    this.#sql.run("UPDATE channels SET expires = NULL WHERE id = ? AND expires NOT NULL", channel);
    return this.#sql.get<{ heard: number }>(
      "INSERT OR REPLACE INTO links (channel, session, heard) " +
        "SELECT id, ?, announced FROM channels WHERE id = ? RETURNING heard",
      this.#sql.session,
      channel,
    )!.heard;
  }

  detach(channel: number, session: number = this.#sql.session): void {
    const { clock, announcements, waiters, roomWaiters } = this.#tables;
    this.#sql.run("DELETE FROM links WHERE channel = ? AND session = ?", channel, session);
    waiters.leave(channel, session);
    roomWaiters.leave(channel, session);
    this.#sql.run("DELETE FROM mail WHERE session = ? AND channel = ?", session, channel);
    announcements.dropHeard(channel);
    this.#sql.run(
      "UPDATE channels SET expires = ? + lease WHERE id = ? AND lease NOT NULL " +
        "AND NOT EXISTS (SELECT 1 FROM links WHERE channel = ?)",
      clock.now(),
      channel,
      channel,
    );
  }

  /**
   * Deletes a channel if it exists, and tells every other session on it; their links go when they have read
   * that. Only a batch of its messages is deleted at once; `sweep` deletes the others.
   */
  delete(channel: number): void {
    const { announcements, messages, delayed } = this.#tables;
    announcements.post(channel, null, true);
    this.#sql.run("DELETE FROM channels WHERE id = ?", channel);
    this.detach(channel);
    this.#sql.run("DELETE FROM waiters WHERE channel = ?", channel);
    this.#sql.run("DELETE FROM putters WHERE channel = ?", channel);
    const hasMoreDelayed = delayed.delete(channel);
    messages.deleteHeld(channel);
    if (messages.deleteWaiting(channel) || hasMoreDelayed) {
      this.#sql.run("INSERT OR IGNORE INTO trash VALUES (?)", channel);
    }
  }

  /** Reports whether `sweep` has something to delete. */
  needsSweep(): boolean {
    return this.#sql.get(
      "SELECT 1 FROM channels WHERE expires <= ? UNION ALL SELECT 1 FROM trash LIMIT 1",
      this.#tables.clock.now(),
    ) !== undefined;
  }

  /**
   * Deletes a channel whose lease is over, and a batch of the messages of a deleted channel. Reports whether
   * there is more to delete.
   */
  sweep(): boolean {
    const { clock, messages, delayed } = this.#tables;
    const expired = this.#sql.get<{ id: number }>(
      "SELECT id FROM channels WHERE expires <= ?",
      clock.now(),
    );
    if (expired !== undefined) this.delete(expired.id);
    const trash = this.#sql.get<{ channel: number }>("SELECT channel FROM trash LIMIT 1");
    if (
      trash !== undefined && !delayed.delete(trash.channel) &&
      !messages.deleteWaiting(trash.channel)
    ) {
      this.#sql.run("DELETE FROM trash WHERE channel = ?", trash.channel);
    }
    return this.needsSweep();
  }
}
