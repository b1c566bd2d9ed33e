import type { Statements } from "./statements.ts";

/** Has a session do something about a channel. */
export interface Letter {
  readonly id: number;
  readonly channel: number;
  readonly kind: number;
}

/** What kind of mail says that something was announced. */
export const news = 0;
/** What kind of mail has a link look again, for the channel's state has changed. */
export const lookAgain = 1;

/** What sessions ask each other to look at, in the file: of each kind once for each channel. */
export class Mailbox {
  /** Whose it is. */
  session = 0;
  readonly #sql: Statements;
  readonly #woken: Set<number>;

  /** @param woken to which those are added who have got something */
  constructor(sql: Statements, woken: Set<number>) {
    this.#sql = sql;
    this.#woken = woken;
  }

  /** Tells every other session on a channel; whether there are some. */
  send(channel: number, kind: number): boolean {
    const others = this.#sql.all<{ session: number }>(
      "SELECT session FROM links WHERE channel = ? AND session <> ?",
      channel,
      this.session,
    );
    for (const { session } of others) this.sendTo(session, channel, kind);
    return others.length > 0;
  }

  sendTo(session: number, channel: number, kind: number): void {
    // The letter that it replaces may have been read, and be about to be discarded.
    this.#sql.run(
      "INSERT OR REPLACE INTO mail (session, channel, kind) VALUES (?, ?, ?)",
      session,
      channel,
      kind,
    );
    this.#woken.add(session);
  }

  read(after: number): Letter[] {
    return this.#sql.all<Letter>(
      "SELECT id, channel, kind FROM mail WHERE session = ? AND id > ? ORDER BY id",
      this.session,
      after,
    );
  }

  discard(upTo: number): void {
    this.#sql.run("DELETE FROM mail WHERE session = ? AND id <= ?", this.session, upTo);
  }
}
