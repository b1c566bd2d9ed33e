import type { DatabaseSync } from "node:sqlite";
import { Announcements } from "./announcements.ts";
import { Channels } from "./channels.ts";
import { FileClock } from "./clock.ts";
import { DelayedMessages } from "./delayed.ts";
import { Mailbox } from "./mailbox.ts";
import { Messages } from "./messages.ts";
import { RoomWaiters } from "./room_waiters.ts";
import { Sessions } from "./sessions.ts";
import { Statements } from "./statements.ts";
import { Waiters } from "./waiters.ts";

/**
 * The tables of the file, as one session uses them; `schema.ts` states their invariants. Methods that change
 * the file must be called within a transaction.
 */
export class Store {
  /** The sessions for which this transaction has written something. They must be woken after the commit. */
  readonly woken: Set<number> = new Set();
  readonly clock: FileClock;
  readonly mailbox: Mailbox;
  readonly announcements: Announcements;
  readonly waiters: Waiters;
  readonly roomWaiters: RoomWaiters;
  readonly delayed: DelayedMessages;
  readonly messages: Messages;
  readonly channels: Channels;
  readonly sessions: Sessions;
  readonly #sql: Statements;

  constructor(db: DatabaseSync) {
    const sql = this.#sql = new Statements(db);
    this.clock = new FileClock(sql);
    this.mailbox = new Mailbox(sql, this.woken);
    this.announcements = new Announcements(sql, this.mailbox);
    this.waiters = new Waiters(sql, this.mailbox);
    this.roomWaiters = new RoomWaiters(sql, this.mailbox);
    this.delayed = new DelayedMessages(sql, this.clock);
    this.messages = new Messages(sql, this);
    this.channels = new Channels(sql, this);
    this.sessions = new Sessions(sql, this.channels, this.messages);
  }

  begin(): void {
    this.woken.clear();
    this.delayed.hasGrown = false;
    this.#sql.begin();
  }

  commit(): void {
    this.#sql.commit();
  }

  rollback(): void {
    this.woken.clear();
    try {
      this.#sql.rollback();
    } catch {
      // after some errors, SQLite has rolled back itself
    }
  }

  /** Prepares a statement. It must be called outside of a transaction. */
  prepare(sql: string): void {
    this.#sql.prepare(sql);
  }

  /** Whether this transaction has written something for this session itself. */
  get isWoken(): boolean {
    return this.woken.has(this.#sql.session);
  }

  close(): void {
    this.#sql.close();
  }
}
