import { textOfHeaders } from "../../message_headers.ts";
import type { Message } from "../../transport.ts";
import type { FileClock } from "./clock.ts";
import type { Statements } from "./statements.ts";

/** The largest number of messages that one transaction moves or deletes, so that none takes long. */
const batchSize = 1000;

/** Messages that are not due yet. They count toward the capacity of their channel; no consumer gets them. */
export class DelayedMessages {
  /** Whether a message was added in this transaction. */
  hasGrown = false;
  readonly #sql: Statements;
  readonly #clock: FileClock;

  constructor(sql: Statements, clock: FileClock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  /** Returns the time at which the next message is due. */
  nextDue(): number | undefined {
    const due = this.#sql.get<{ due: unknown }>(
      "SELECT min(due, 9007199254740991) AS due FROM delayed ORDER BY delayed.due LIMIT 1",
    )?.due;
    return typeof due === "number" ? due : undefined; // another program may have written any value
  }

  has(channel: number): boolean {
    return this.#sql.get("SELECT 1 FROM delayed WHERE channel = ? LIMIT 1", channel) !== undefined;
  }

  count(channel: number): number {
    return this.#sql.get<{ n: number }>(
      "SELECT count(*) AS n FROM delayed WHERE channel = ?",
      channel,
    )!.n;
  }

  add(channel: number, message: Message & { readonly delay: number }): void {
    const { body, contentType, id, attempts, reason, delay, expires, priority } = message;
    const now = this.#clock.now();
    this.#sql.run(
      "INSERT INTO delayed " +
        "(channel, due, attempts, message_id, content_type, reason, body, expires, priority, headers) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      channel,
      now + delay,
      attempts ?? 0,
      id ?? null,
      contentType,
      reason ?? null,
      body,
      expires === undefined ? null : now + expires,
      priority ?? 0,
      textOfHeaders(message),
    );
    this.hasGrown = true;
  }

  /** Moves the messages that are due to the end of their channels. Returns their number by channel. */
  moveDue(now: number): Map<number, number> {
    const counts = new Map<number, number>();
    const next = this.nextDue();
    if (next === undefined || next > now) return counts;
    const due = this.#sql.all<{ id: number; channel: number }>(
      "SELECT id, channel FROM delayed WHERE due <= ? ORDER BY due, id LIMIT ?",
      now,
      batchSize,
    );
    for (const { id, channel } of due) {
      this.#sql.run(
        "INSERT INTO messages " +
          "(channel, holder, attempts, message_id, content_type, reason, body, expires, priority, headers) " +
          "SELECT channel, 0, attempts, message_id, content_type, reason, body, expires, priority, headers " +
          "FROM delayed WHERE id = ?",
        id,
      );
      this.#sql.run("DELETE FROM delayed WHERE id = ?", id);
      counts.set(channel, (counts.get(channel) ?? 0) + 1);
    }
    return counts;
  }

  /** Deletes a batch of messages of a deleted channel. Reports whether there may be more of them. */
  delete(channel: number): boolean {
    const { changes } = this.#sql.run(
      "DELETE FROM delayed WHERE id IN (SELECT id FROM delayed WHERE channel = ? LIMIT ?)",
      channel,
      batchSize,
    );
    return changes === batchSize;
  }
}
