import type { Channels } from "./channels.ts";
import type { Messages } from "./messages.ts";
import type { RoomWaiters } from "./room_waiters.ts";
import type { Statements } from "./statements.ts";
import type { Waiters } from "./waiters.ts";

/** Another session that has a row in the file, alive or killed. */
export interface Peer {
  readonly id: number;
  readonly token: string;
}

/** The parts of the file in which a session has rows. */
export interface SessionTables {
  readonly channels: Channels;
  readonly messages: Messages;
  readonly waiters: Waiters;
  readonly roomWaiters: RoomWaiters;
}

/** The sessions that have the file open. */
export class Sessions {
  readonly #sql: Statements;
  readonly #tables: SessionTables;

  constructor(sql: Statements, tables: SessionTables) {
    this.#sql = sql;
    this.#tables = tables;
  }

  /** Adds this session, and returns its id. */
  enter(token: string): number {
    this.#sql.run("INSERT INTO sessions (token) VALUES (?)", token);
    return this.#sql.session = this.#sql.lastId();
  }

  /** Whether this session has a row: others remove the row of a session that they take for dead. */
  get isEntered(): boolean {
    return this.tokenOf(this.#sql.session) !== undefined;
  }

  peers(): Peer[] {
    return this.#sql.all<Peer>("SELECT id, token FROM sessions WHERE id <> ?", this.#sql.session);
  }

  tokenOf(session: number): string | undefined {
    return this.#sql.get<Peer>("SELECT token FROM sessions WHERE id = ?", session)?.token;
  }

  /** Releases everything that a session has. The caller must call `remove` afterwards. */
  release(session: number): void {
    const { channels, messages, waiters, roomWaiters } = this.#tables;
    waiters.removeSession(session);
    roomWaiters.removeSession(session);
    for (const channel of messages.heldChannels(session)) messages.releaseAll(channel, session);
    const links = this.#sql.all<{ channel: number }>(
      "SELECT channel FROM links WHERE session = ?",
      session,
    );
    for (const { channel } of links) channels.detach(channel, session);
    this.#sql.run("DELETE FROM mail WHERE session = ?", session);
  }

  /** Removes the row of a session that has nothing. */
  remove(session: number): void {
    this.#sql.run("DELETE FROM sessions WHERE id = ?", session);
  }
}
