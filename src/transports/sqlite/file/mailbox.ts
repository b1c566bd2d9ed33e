import type { Statements } from "./statements.ts";

/** A request to a session to look at a channel. */
export interface Mail {
  readonly id: number;
  readonly channel: number;
  /** {@linkcode announced} or {@linkcode stateChanged}. */
  readonly kind: number;
}

/** The kind of mail that asks a session to read the announcements of a channel. */
export const announced = 0;
/** The kind of mail that asks a link to run a transaction, because the state of its channel has changed. */
export const stateChanged = 1;

/** The mail between sessions. A session has at most one mail of each kind for each channel. */
export class Mailbox {
  readonly #sql: Statements;
  readonly #woken: Set<number>;

  /** @param woken collects the sessions that have received mail */
  constructor(sql: Statements, woken: Set<number>) {
    this.#sql = sql;
    this.#woken = woken;
  }

  /** Sends mail to every other session that is attached to a channel. Reports whether there are any. */
  send(channel: number, kind: number): boolean {
    const others = this.#sql.all<{ session: number }>(
      "SELECT session FROM links WHERE channel = ? AND session <> ?",
      channel,
      this.#sql.session,
    );
    for (const { session } of others) this.sendTo(session, channel, kind);
    return others.length > 0;
  }

  sendTo(session: number, channel: number, kind: number): void {
    // A new id: the receiver may have read the older mail already, and be about to discard it.
    this.#sql.run(
      "INSERT OR REPLACE INTO mail (session, channel, kind) VALUES (?, ?, ?)",
      session,
      channel,
      kind,
    );
    this.#woken.add(session);
  }

  /** Returns the mail of this session that is newer than an id. */
  read(after: number): Mail[] {
    return this.#sql.all<Mail>(
      "SELECT id, channel, kind FROM mail WHERE session = ? AND id > ? ORDER BY id",
      this.#sql.session,
      after,
    );
  }

  discard(upTo: number): void {
    this.#sql.run("DELETE FROM mail WHERE session = ? AND id <= ?", this.#sql.session, upTo);
  }
}
