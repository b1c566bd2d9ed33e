import type { Statements } from "./statements.ts";

/** An announcement for a session; without an event, the channel is gone, or the link must look again. */
export interface Letter {
  readonly id: number;
  readonly channel: number;
  readonly event: Uint8Array | null;
  readonly kind: number;
}

/** What kind of mail has a link look again, for the channel's state has changed. */
export const lookAgain = 1;

/** What sessions tell each other, in the file. */
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

  /** Tells every other session on a channel. */
  post(channel: number, event: Uint8Array | null, kind = 0): void {
    const others = this.#sql.all<{ session: number }>(
      "SELECT session FROM links WHERE channel = ? AND session <> ?",
      channel,
      this.session,
    );
    for (const { session } of others) this.send(session, channel, event, kind);
  }

  send(session: number, channel: number, event: Uint8Array | null, kind: number): void {
    this.#sql.run(
      "INSERT INTO mail (session, channel, event, kind) VALUES (?, ?, ?, ?)",
      session,
      channel,
      event,
      kind,
    );
    this.#woken.add(session);
  }

  read(after: number): Letter[] {
    return this.#sql.all<Letter>(
      "SELECT id, channel, event, kind FROM mail WHERE session = ? AND id > ? ORDER BY id",
      this.session,
      after,
    );
  }

  discard(upTo: number): void {
    this.#sql.run("DELETE FROM mail WHERE session = ? AND id <= ?", this.session, upTo);
  }
}
