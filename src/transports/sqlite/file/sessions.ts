import type { Channels } from "./channels.ts";
import type { Messages } from "./messages.ts";
import type { Statements } from "./statements.ts";

/** Another session that has a row in the file, alive or killed. */
export interface Peer {
  readonly id: number;
  readonly token: string;
}

/** The sessions that have the file open. */
export class Sessions {
  readonly #sql: Statements;
  readonly #channels: Channels;
  readonly #messages: Messages;

  constructor(sql: Statements, channels: Channels, messages: Messages) {
    this.#sql = sql;
    this.#channels = channels;
    this.#messages = messages;
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
    this.#sql.run("DELETE FROM waiters WHERE session = ?", session);
    this.#sql.run("DELETE FROM putters WHERE session = ?", session);
    for (const channel of this.#messages.heldChannels(session)) {
      this.#messages.releaseAll(channel, session);
    }
    const links = this.#sql.all<{ channel: number }>(
      "SELECT channel FROM links WHERE session = ?",
      session,
    );
    for (const { channel } of links) this.#channels.detach(channel, session);
    this.#sql.run("DELETE FROM mail WHERE session = ?", session);
  }

  /** Removes the row of a session that has nothing. */
  remove(session: number): void {
    this.#sql.run("DELETE FROM sessions WHERE id = ?", session);
  }
}
