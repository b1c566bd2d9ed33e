import { textOfHeaders } from "../../message_headers.ts";
import type { Message } from "../../transport.ts";
import type { FileClock } from "./clock.ts";
import type { DelayedMessages } from "./delayed.ts";
import type { RoomWaiters } from "./room_waiters.ts";
import type { Statements } from "./statements.ts";
import type { Waiters } from "./waiters.ts";

/** A message as the file stores it. */
export interface Row {
  readonly id: number;
  readonly channel: number;
  readonly attempts: number;
  readonly redelivered: number;
  readonly message_id: string | null;
  readonly content_type: string;
  readonly reason: string | null;
  readonly body: Uint8Array;
  readonly priority: number;
  readonly headers: string | null;
}

/** Compares two messages of a channel by the order in which they are taken. */
export function byOrder(a: Ordered, b: Ordered): number {
  return b.priority - a.priority || a.id - b.id;
}

/** What determines a message's place in its channel. */
type Ordered = Pick<Row, "id" | "priority">;

/** The columns of a `Row`, cast because another program may have written any value. An id beyond 2^53 fails. */
const columns =
  "id, channel, max(0, min(CAST(attempts AS INTEGER), 2147483647)) AS attempts, redelivered, " +
  "CAST(message_id AS TEXT) AS message_id, CAST(content_type AS TEXT) AS content_type, " +
  "CAST(reason AS TEXT) AS reason, CAST(body AS BLOB) AS body, " +
  "max(-9007199254740991, min(CAST(priority AS INTEGER), 9007199254740991)) AS priority, " +
  "CAST(headers AS TEXT) AS headers";

/** The largest number of messages that one transaction deletes, so that none takes long. */
const batchSize = 1000;

/** The parts of the file that messages depend on. */
export interface MessageTables {
  readonly clock: FileClock;
  readonly delayed: DelayedMessages;
  readonly waiters: Waiters;
  readonly roomWaiters: RoomWaiters;
  /** Collects the sessions that were given a message. */
  readonly woken: Set<number>;
}

/** The messages of all channels, waiting or held by a session. `schema.ts` states their invariants. */
export class Messages {
  readonly #sql: Statements;
  readonly #clock: FileClock;
  readonly #delayed: DelayedMessages;
  readonly #waiters: Waiters;
  readonly #roomWaiters: RoomWaiters;
  readonly #woken: Set<number>;

  constructor(sql: Statements, { clock, delayed, waiters, roomWaiters, woken }: MessageTables) {
    this.#sql = sql;
    this.#clock = clock;
    this.#delayed = delayed;
    this.#waiters = waiters;
    this.#roomWaiters = roomWaiters;
    this.#woken = woken;
  }

  /** Appends messages. The first ones are given to the waiters, one each. Returns the number of the others. */
  put(channel: number, messages: readonly Message[]): number {
    let waiting = 0;
    let hasWaiters = true;
    for (const message of messages) {
      const { body, contentType, id, attempts, reason, delay, expires, priority } = message;
      if (delay !== undefined) {
        this.#delayed.add(channel, { ...message, delay });
        continue;
      }
      const session: number | undefined = hasWaiters ? this.#waiters.shift(channel) : undefined;
      hasWaiters = session !== undefined;
      if (session === undefined) waiting++;
      else this.#woken.add(session);
      this.#sql.run(
        "INSERT INTO messages " +
          "(channel, holder, attempts, message_id, content_type, reason, body, expires, priority, headers) " +
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        channel,
        session === undefined ? 0 : -session,
        attempts ?? 0,
        id ?? null,
        contentType,
        reason ?? null,
        body,
        expires === undefined ? null : this.#clock.now() + expires,
        priority ?? 0,
        textOfHeaders(message),
      );
    }
    this.#addDepth(channel, waiting);
    return waiting;
  }

  /**
   * Takes the first waiting messages, and returns them in their order.
   *
   * @param isTry whether the file counts the attempts that follow
   */
  take(channel: number, limit: number, isTry: boolean): Row[] {
    const rows = this.#sql.all<Row>(
      "UPDATE messages SET holder = ?, attempts = attempts + ? WHERE id IN " +
        "(SELECT id FROM messages WHERE holder = 0 AND channel = ? " +
        `ORDER BY priority DESC, id LIMIT ?) RETURNING ${columns}`,
      this.#sql.session,
      isTry ? 1 : 0,
      channel,
      limit,
    );
    this.#addDepth(channel, -rows.length);
    return rows.sort(byOrder);
  }

  /** Returns the messages that were given to this session, in their order. */
  given(): Row[] {
    return this.#sql.all<Row>(
      `SELECT ${columns} FROM messages WHERE holder = ? ` +
        "ORDER BY messages.channel, messages.priority DESC, messages.id",
      -this.#sql.session,
    );
  }

  /** Records that a message is being tried. */
  markTried(id: number, attempts: number): void {
    this.#sql.run(
      "UPDATE messages SET holder = abs(holder), attempts = ? WHERE id = ? AND abs(holder) = ?",
      attempts,
      id,
      this.#sql.session,
    );
  }

  /** Deletes messages that this session holds. Returns how many there were. */
  accept(ids: readonly number[]): number {
    const { changes } = ids.length === 1
      ? this.#sql.run(
        "DELETE FROM messages WHERE id = ? AND abs(holder) = ?",
        ids[0]!,
        this.#sql.session,
      )
      : this.#sql.run(
        "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND abs(holder) = ?",
        JSON.stringify(ids),
        this.#sql.session,
      );
    return Number(changes);
  }

  /** Returns a message to its old place. The caller must call `serve` afterwards. */
  release(channel: number, id: number, attempts: number, redelivered: boolean): void {
    const { changes } = this.#sql.run(
      "UPDATE messages SET holder = 0, attempts = ?, redelivered = redelivered | ? " +
        "WHERE id = ? AND abs(holder) = ?",
      attempts,
      redelivered ? 1 : 0,
      id,
      this.#sql.session,
    );
    if (changes !== 0) this.#addDepth(channel, 1);
  }

  /** Releases all messages of a channel that a session holds. */
  releaseAll(channel: number, session: number = this.#sql.session): void {
    const { changes } = this.#sql.run(
      "UPDATE messages SET holder = 0, redelivered = 1 WHERE holder IN (?, ?) AND channel = ?",
      session,
      -session,
      channel,
    );
    this.#addDepth(channel, Number(changes));
    this.serve(channel);
  }

  /** Returns the channels of which a session holds messages. */
  heldChannels(session: number = this.#sql.session): number[] {
    return this.#sql.all<{ channel: number }>(
      "SELECT DISTINCT channel FROM messages WHERE holder IN (?, ?)",
      session,
      -session,
    ).map(({ channel }) => channel);
  }

  /** Gives the waiting messages of a channel to its waiters, one each, in their order. */
  serve(channel: number): void {
    this.#dropExpired(this.#clock.now()); // a released message may have expired on loan
    for (;;) {
      const next = this.#sql.get<{ id: number }>(
        "SELECT id FROM messages WHERE holder = 0 AND channel = ? ORDER BY priority DESC, id LIMIT 1",
        channel,
      );
      const session = next && this.#waiters.shift(channel);
      if (session === undefined) return;
      this.#sql.run("UPDATE messages SET holder = ? WHERE id = ?", -session, next!.id);
      this.#addDepth(channel, -1);
      this.#woken.add(session);
    }
  }

  /** Moves the messages that are due to the end of their channels, and drops those that have expired. */
  applyTime(): void {
    const now = this.#clock.now();
    for (const [channel, count] of this.#delayed.moveDue(now)) {
      this.#addDepth(channel, count);
      this.serve(channel);
    }
    this.#dropExpired(now);
  }

  /** Reports whether a channel has no message: waiting, on loan, or delayed. */
  isEmpty(channel: number): boolean {
    return !this.#delayed.has(channel) && this.#sql.get(
          "SELECT 1 FROM messages WHERE channel = ? AND holder IN " +
            "(SELECT 0 UNION ALL SELECT id FROM sessions UNION ALL SELECT -id FROM sessions) LIMIT 1",
          channel,
        ) === undefined;
  }

  /** Returns the number of messages of a channel that sessions hold. */
  held(channel: number): number {
    return this.#sql.get<{ n: number }>(
      "SELECT count(*) AS n FROM messages WHERE channel = ? AND holder IN " +
        "(SELECT id FROM sessions UNION ALL SELECT -id FROM sessions)",
      channel,
    )!.n;
  }

  /** Deletes the messages of a deleted channel that sessions hold. */
  deleteHeld(channel: number): void {
    this.#sql.run(
      "DELETE FROM messages WHERE channel = ? AND holder IN " +
        "(SELECT id FROM sessions UNION ALL SELECT -id FROM sessions)",
      channel,
    );
  }

  /** Deletes a batch of the waiting messages of a deleted channel. Reports whether there may be more of them. */
  deleteWaiting(channel: number): boolean {
    const { changes } = this.#sql.run(
      "DELETE FROM messages WHERE id IN " +
        "(SELECT id FROM messages WHERE holder = 0 AND channel = ? LIMIT ?)",
      channel,
      batchSize,
    );
    return changes === batchSize;
  }

  #dropExpired(now: number): void {
    const expired = this.#sql.all<{ channel: number }>(
      "DELETE FROM messages INDEXED BY messages_by_expiry " +
        "WHERE expires <= ? AND holder = 0 RETURNING channel",
      now,
    );
    if (expired.length === 0) return;
    const counts = new Map<number, number>();
    for (const { channel } of expired) counts.set(channel, (counts.get(channel) ?? 0) + 1);
    for (const [channel, count] of counts) {
      this.#addDepth(channel, -count);
      this.#roomWaiters.resize(channel, -count);
      if (this.#isClosed(channel) && this.isEmpty(channel)) this.#waiters.notify(channel);
    }
  }

  #isClosed(channel: number): boolean {
    return this.#sql.get(
      "SELECT 1 FROM channels WHERE id = ? AND is_closed <> 0",
      channel,
    ) !== undefined;
  }

  #addDepth(channel: number, by: number): void {
    if (by !== 0) this.#sql.run("UPDATE channels SET depth = depth + ? WHERE id = ?", by, channel);
  }
}
