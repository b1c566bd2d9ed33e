import type { Message } from "../../transport.ts";
import type { Clock } from "./clock.ts";
import type { Statements } from "./statements.ts";

/** How many messages are moved in one transaction, so that none takes long. */
const slice = 1000;

/** Messages that are not due: they count toward a capacity, and nobody gets them yet. */
export class Delayed {
  /** Whether something was added in this transaction. */
  hasGrown = false;
  readonly #sql: Statements;
  readonly #clock: Clock;

  constructor(sql: Statements, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  /** When the next one is due. */
  nextDue(): number | undefined {
    const due = this.#sql.get<{ due: unknown }>(
      "SELECT min(due, 9007199254740991) AS due FROM delayed ORDER BY delayed.due LIMIT 1",
    )?.due;
    return typeof due === "number" ? due : undefined; // another program may have written anything
  }

  has(channel: number): boolean {
    return this.#sql.get("SELECT 1 FROM delayed WHERE channel = ? LIMIT 1", channel) !== undefined;
  }

  add(channel: number, message: Message & { readonly delay: number }): void {
    const { body, contentType, id, attempts, reason, delay, expires, priority } = message;
    const now = this.#clock.now();
    this.#sql.run(
      "INSERT INTO delayed " +
        "(channel, due, attempts, message_id, content_type, reason, body, expires, priority) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      channel,
      now + delay,
      attempts ?? 0,
      id ?? null,
      contentType,
      reason ?? null,
      body,
      expires === undefined ? null : now + expires,
      priority ?? 0,
    );
    this.hasGrown = true;
  }

  /** Has those that are due wait to be got; how many, by channel. */
  ripen(now: number): Map<number, number> {
    const counts = new Map<number, number>();
    const next = this.nextDue();
    if (next === undefined || next > now) return counts;
    const due = this.#sql.all<{ id: number; channel: number }>(
      "SELECT id, channel FROM delayed WHERE due <= ? ORDER BY due, id LIMIT ?",
      now,
      slice,
    );
    for (const { id, channel } of due) {
      this.#sql.run(
        "INSERT INTO messages " +
          "(channel, holder, attempts, message_id, content_type, reason, body, expires, priority) " +
          "SELECT channel, 0, attempts, message_id, content_type, reason, body, expires, priority " +
          "FROM delayed WHERE id = ?",
        id,
      );
      this.#sql.run("DELETE FROM delayed WHERE id = ?", id);
      counts.set(channel, (counts.get(channel) ?? 0) + 1);
    }
    return counts;
  }

  /** Deletes some of what a channel had that is gone; whether there may be more. */
  drop(channel: number): boolean {
    const { changes } = this.#sql.run(
      "DELETE FROM delayed WHERE id IN (SELECT id FROM delayed WHERE channel = ? LIMIT ?)",
      channel,
      slice,
    );
    return changes === slice;
  }
}
