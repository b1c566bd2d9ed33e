import type { DatabaseSync } from "node:sqlite";
import type { Message } from "../../transport.ts";
import { Announcements } from "./announcements.ts";
import { Clock } from "./clock.ts";
import { Delayed } from "./delayed.ts";
import { lookAgain, Mailbox } from "./mailbox.ts";
import { Putters } from "./room_waiters.ts";
import { Statements } from "./statements.ts";

/** A message as the file has it. */
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
}

/** A channel as the file has it. */
export interface ChannelState {
  /** How many messages wait. */
  readonly depth: number;
  readonly is_closed: number;
  readonly capacity: number | null;
  /** How many messages there are, on loan or not, where there is a capacity. */
  readonly size: number;
}

/** Who is, or was, attached to the file. */
export interface Peer {
  readonly id: number;
  readonly token: string;
}

/** The order in which messages leave. */
export function byTurn(a: Turn, b: Turn): number {
  return b.priority - a.priority || a.id - b.id;
}

/** What a message's place in its channel depends on. */
type Turn = Pick<Row, "id" | "priority">;

/** Another program may have written anything: this makes of it what a `Row` says, but for an id beyond 2^53. */
const columns =
  "id, channel, max(0, min(CAST(attempts AS INTEGER), 2147483647)) AS attempts, redelivered, " +
  "CAST(message_id AS TEXT) AS message_id, CAST(content_type AS TEXT) AS content_type, " +
  "CAST(reason AS TEXT) AS reason, CAST(body AS BLOB) AS body, " +
  "max(-9007199254740991, min(CAST(priority AS INTEGER), 9007199254740991)) AS priority";

/** How many messages are deleted in one transaction, so that none takes long. */
const slice = 1000;

/**
 * The file's tables, as one session sees them; `schema.ts` has their invariants. What changes something
 * is called within a transaction.
 */
export class Store {
  /** Sessions for which something was written that they must be woken for; the writer does so afterwards. */
  readonly woken: Set<number> = new Set();
  /** What sessions have been told to look at. */
  readonly mailbox: Mailbox;
  readonly announcements: Announcements;
  /** Who waits for room. */
  readonly putters: Putters;
  readonly clock: Clock;
  /** What is not due. */
  readonly delayed: Delayed;
  readonly #sql: Statements;
  #session = 0;

  constructor(db: DatabaseSync) {
    this.#sql = new Statements(db);
    this.mailbox = new Mailbox(this.#sql, this.woken);
    this.announcements = new Announcements(this.#sql, this.mailbox);
    this.putters = new Putters(this.#sql, this.mailbox);
    this.clock = new Clock(this.#sql);
    this.delayed = new Delayed(this.#sql, this.clock);
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
      // SQLite has done so itself, as after some errors
    }
  }

  /** Outside of a transaction. */
  prepare(sql: string): void {
    this.#sql.prepare(sql);
  }

  close(): void {
    this.#sql.close();
  }

  // Sessions

  /** Whether something was written for this session itself. */
  get isWoken(): boolean {
    return this.woken.has(this.#session);
  }

  /** Makes this a new session. */
  enter(token: string): number {
    this.#sql.run("INSERT INTO sessions (token) VALUES (?)", token);
    this.#session = this.#sql.lastId();
    this.mailbox.session = this.putters.session = this.announcements.session = this.#session;
    return this.#session;
  }

  peers(): Peer[] {
    return this.#sql.all<Peer>("SELECT id, token FROM sessions WHERE id <> ?", this.#session);
  }

  tokenOf(session: number): string | undefined {
    return this.#sql.get<Peer>("SELECT token FROM sessions WHERE id = ?", session)?.token;
  }

  /** Gives back all that a session has; its messages are as they were before. `leave` must follow. */
  giveUp(session: number): void {
    this.#sql.run("DELETE FROM waiters WHERE session = ?", session);
    this.#sql.run("DELETE FROM putters WHERE session = ?", session);
    for (const channel of this.held(session)) this.releaseAll(channel, session);
    const links = this.#sql.all<{ channel: number }>(
      "SELECT channel FROM links WHERE session = ?",
      session,
    );
    for (const { channel } of links) this.detach(channel, session);
    this.#sql.run("DELETE FROM mail WHERE session = ?", session);
  }

  /** Takes a session out of the file that has nothing. */
  leave(session: number): void {
    this.#sql.run("DELETE FROM sessions WHERE id = ?", session);
  }

  /** Whether nobody has taken this session for dead. */
  get isEntered(): boolean {
    return this.tokenOf(this.#session) !== undefined;
  }

  /** The channels that a session has messages of. */
  held(session: number = this.#session): number[] {
    return this.#sql.all<{ channel: number }>(
      "SELECT DISTINCT channel FROM messages WHERE holder IN (?1, -?1)",
      session,
    ).map(({ channel }) => channel);
  }

  /** Gives back all that a session has of a channel. */
  releaseAll(channel: number, session: number = this.#session): void {
    const { changes } = this.#sql.run(
      "UPDATE messages SET holder = 0, redelivered = 1 WHERE holder IN (?1, -?1) AND channel = ?2",
      session,
      channel,
    );
    this.#deepen(channel, Number(changes));
    this.serve(channel);
  }

  // Channels

  /** The channel of this name, unless its lease is over. */
  find(name: string): number | undefined {
    const found = this.#sql.get<{ id: number; expires: number | null }>(
      "SELECT id, expires FROM channels WHERE name = ?",
      name,
    );
    if (found === undefined || found.expires === null || found.expires > this.clock.now()) {
      return found?.id;
    }
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

  /** Undefined where the channel is gone. */
  state(channel: number): ChannelState | undefined {
    return this.#sql.get<ChannelState>(
      "SELECT max(0, min(CAST(depth AS INTEGER), 9007199254740991)) AS depth, is_closed, size, " +
        "CASE WHEN typeof(capacity) = 'integer' AND capacity BETWEEN 0 AND 9007199254740991 " +
        "THEN capacity END AS capacity FROM channels WHERE id = ?",
      channel,
    );
  }

  /** Closes a channel, and has all links on it look again. */
  drain(channel: number): void {
    const { changes } = this.#sql.run(
      "UPDATE channels SET is_closed = 1 WHERE id = ? AND is_closed = 0",
      channel,
    );
    if (changes !== 0) this.mailbox.send(channel, lookAgain);
  }

  /** Whether a channel has no message, on loan, not due, or neither. */
  isEmpty(channel: number): boolean {
    return !this.delayed.has(channel) && this.#sql.get(
          "SELECT 1 FROM messages WHERE channel = ? AND holder IN " +
            "(SELECT 0 UNION ALL SELECT id FROM sessions UNION ALL SELECT -id FROM sessions) LIMIT 1",
          channel,
        ) === undefined;
  }

  /** Has those who wait for a message of this channel look again. */
  rouse(channel: number): void {
    const sessions = this.#sql.all<{ session: number }>(
      "SELECT DISTINCT session FROM waiters WHERE channel = ?",
      channel,
    );
    for (const { session } of sessions) this.mailbox.sendTo(session, channel, lookAgain);
  }

  /** Returns the number of the channel's last announcement, which is older. */
  attach(channel: number): number {
    this.#sql.run("UPDATE channels SET expires = NULL WHERE id = ? AND expires NOT NULL", channel);
    return this.#sql.get<{ heard: number }>(
      "INSERT OR REPLACE INTO links (channel, session, heard) " +
        "SELECT id, ?, announced FROM channels WHERE id = ? RETURNING heard",
      this.#session,
      channel,
    )!.heard;
  }

  detach(channel: number, session: number = this.#session): void {
    this.#sql.run("DELETE FROM links WHERE channel = ? AND session = ?", channel, session);
    this.#sql.run("DELETE FROM waiters WHERE channel = ? AND session = ?", channel, session);
    this.putters.leave(channel, session);
    this.#sql.run("DELETE FROM mail WHERE session = ? AND channel = ?", session, channel);
    this.announcements.dropHeard(channel);
    this.#sql.run(
      "UPDATE channels SET expires = ?1 + lease WHERE id = ?2 AND lease NOT NULL " +
        "AND NOT EXISTS (SELECT 1 FROM links WHERE channel = ?2)",
      this.clock.now(),
      channel,
    );
  }

  /**
   * Deletes a channel if it is there, and tells every other session on it, whose link goes when it has heard of
   * it; many messages go by and by.
   */
  delete(channel: number): void {
    this.announcements.post(channel, null, true);
    this.#sql.run("DELETE FROM channels WHERE id = ?", channel);
    this.detach(channel);
    this.#sql.run("DELETE FROM waiters WHERE channel = ?", channel);
    this.#sql.run("DELETE FROM putters WHERE channel = ?", channel);
    const isMore = this.delayed.drop(channel);
    this.#sql.run(
      "DELETE FROM messages WHERE channel = ? AND holder IN " +
        "(SELECT id FROM sessions UNION ALL SELECT -id FROM sessions)",
      channel,
    );
    if (this.#deleteSlice(channel) || isMore) {
      this.#sql.run("INSERT OR IGNORE INTO trash VALUES (?)", channel);
    }
  }

  /** Whether there is something to `sweep`. */
  isUntidy(): boolean {
    return this.#sql.get(
      "SELECT 1 FROM channels WHERE expires <= ? UNION ALL SELECT 1 FROM trash LIMIT 1",
      this.clock.now(),
    ) !== undefined;
  }

  /** Deletes channels whose lease is over, and some of what deleted channels had; whether there is more. */
  sweep(): boolean {
    const now = this.clock.now();
    const over = this.#sql.get<{ id: number }>("SELECT id FROM channels WHERE expires <= ?", now);
    if (over !== undefined) this.delete(over.id);
    const trash = this.#sql.get<{ channel: number }>("SELECT channel FROM trash LIMIT 1");
    if (
      trash !== undefined && !this.delayed.drop(trash.channel) && !this.#deleteSlice(trash.channel)
    ) {
      this.#sql.run("DELETE FROM trash WHERE channel = ?", trash.channel);
    }
    return this.isUntidy();
  }

  /** Whether there may be more. */
  #deleteSlice(channel: number): boolean {
    const { changes } = this.#sql.run(
      "DELETE FROM messages WHERE id IN " +
        "(SELECT id FROM messages WHERE holder = 0 AND channel = ? LIMIT ?)",
      channel,
      slice,
    );
    return changes === slice;
  }

  // What the time changes

  /** Puts at the end what is due, and drops what has expired. */
  ripen(): void {
    const now = this.clock.now();
    for (const [channel, count] of this.delayed.ripen(now)) {
      this.#deepen(channel, count);
      this.serve(channel);
    }
    this.#dropExpired(now);
  }

  #dropExpired(now: number): void {
    const over = this.#sql.all<{ channel: number }>(
      "DELETE FROM messages INDEXED BY messages_by_expiry " +
        "WHERE expires <= ? AND holder = 0 RETURNING channel",
      now,
    );
    if (over.length === 0) return;
    const counts = new Map<number, number>();
    for (const { channel } of over) counts.set(channel, (counts.get(channel) ?? 0) + 1);
    for (const [channel, count] of counts) {
      this.#deepen(channel, -count);
      this.putters.resize(channel, -count);
      if (this.state(channel)?.is_closed && this.isEmpty(channel)) this.rouse(channel);
    }
  }

  // Messages

  /** Puts messages at the end, the first ones into the hands of who waits. */
  put(channel: number, messages: readonly Message[]): void {
    let free = 0;
    let waits = true;
    for (const message of messages) {
      const { body, contentType, id, attempts, reason, delay, expires, priority } = message;
      if (delay !== undefined) {
        this.delayed.add(channel, { ...message, delay });
        continue;
      }
      const session: number | undefined = waits ? this.#nextWaiter(channel) : undefined;
      waits = session !== undefined;
      if (session === undefined) free++;
      else this.woken.add(session);
      this.#sql.run(
        "INSERT INTO messages " +
          "(channel, holder, attempts, message_id, content_type, reason, body, expires, priority) " +
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        channel,
        session === undefined ? 0 : -session,
        attempts ?? 0,
        id ?? null,
        contentType,
        reason ?? null,
        body,
        expires === undefined ? null : this.clock.now() + expires,
        priority ?? 0,
      );
    }
    this.#deepen(channel, free);
  }

  /** Takes the first messages that wait, in their order. */
  take(channel: number, limit: number, isTry: boolean): Row[] {
    const rows = this.#sql.all<Row>(
      "UPDATE messages SET holder = ?, attempts = attempts + ? WHERE id IN " +
        "(SELECT id FROM messages WHERE holder = 0 AND channel = ? " +
        `ORDER BY priority DESC, id LIMIT ?) RETURNING ${columns}`,
      this.#session,
      isTry ? 1 : 0,
      channel,
      limit,
    );
    this.#deepen(channel, -rows.length);
    return rows.sort(byTurn);
  }

  /** What others have given this session, in its order. */
  given(): Row[] {
    return this.#sql.all<Row>(
      `SELECT ${columns} FROM messages WHERE holder = ? ` +
        "ORDER BY messages.channel, messages.priority DESC, messages.id",
      -this.#session,
    );
  }

  /** Says that a message is being tried. */
  keep(id: number, attempts: number): void {
    this.#sql.run(
      "UPDATE messages SET holder = abs(holder), attempts = ? WHERE id = ? AND abs(holder) = ?",
      attempts,
      id,
      this.#session,
    );
  }

  /** How many were there. */
  accept(ids: readonly number[]): number {
    const { changes } = ids.length === 1
      ? this.#sql.run(
        "DELETE FROM messages WHERE id = ? AND abs(holder) = ?",
        ids[0]!,
        this.#session,
      )
      : this.#sql.run(
        "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND abs(holder) = ?",
        JSON.stringify(ids),
        this.#session,
      );
    return Number(changes);
  }

  /** Gives a message back to its old place; `serve` must follow. */
  release(channel: number, id: number, attempts: number, redelivered: boolean): void {
    const { changes } = this.#sql.run(
      "UPDATE messages SET holder = 0, attempts = ?, redelivered = redelivered | ? " +
        "WHERE id = ? AND abs(holder) = ?",
      attempts,
      redelivered ? 1 : 0,
      id,
      this.#session,
    );
    if (changes !== 0) this.#deepen(channel, 1);
  }

  // Waiters

  wait(channel: number): void {
    this.#sql.run("INSERT INTO waiters (channel, session) VALUES (?, ?)", channel, this.#session);
  }

  waitNoMore(channel: number): void {
    this.#sql.run("DELETE FROM waiters WHERE channel = ? AND session = ?", channel, this.#session);
  }

  /** Gives the messages that wait to the sessions that do, one each, first come, first served. */
  serve(channel: number): void {
    this.#dropExpired(this.clock.now()); // what was released may have been kept for long
    for (;;) {
      const next = this.#sql.get<{ id: number }>(
        "SELECT id FROM messages WHERE holder = 0 AND channel = ? ORDER BY priority DESC, id LIMIT 1",
        channel,
      );
      const session = next && this.#nextWaiter(channel);
      if (session === undefined) return;
      this.#sql.run("UPDATE messages SET holder = ? WHERE id = ?", -session, next!.id);
      this.#deepen(channel, -1);
      this.woken.add(session);
    }
  }

  #nextWaiter(channel: number): number | undefined {
    return this.#sql.get<{ session: number }>(
      "DELETE FROM waiters WHERE id = " +
        "(SELECT id FROM waiters WHERE channel = ? ORDER BY id LIMIT 1) RETURNING session",
      channel,
    )?.session;
  }

  #deepen(channel: number, by: number): void {
    if (by !== 0) this.#sql.run("UPDATE channels SET depth = depth + ? WHERE id = ?", by, channel);
  }
}
