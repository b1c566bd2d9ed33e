import { setOptionalTimeout, unref } from "../shared/timers.ts";
import type { PeerLink } from "./peer_link.ts";

/** What takes the answer of a put: the connection of a peer. */
export interface AnswerTaker {
  send(header: string): void;
  /** Answers that a request is refused. */
  refuse(request: number, error: unknown): void;
  /** A request of this size in bytes is answered. */
  letGo(size: number, isPut: boolean): void;
}

/** A put of a session that is not answered yet. */
export interface SessionPut {
  /** The bytes of the message. */
  readonly size: number;
  /** Sends the answer to this request of this connection, on whose link the message was sent again. */
  answerTo(peer: AnswerTaker, request: number, link: PeerLink): void;
}

/** The connection that has a session now. */
export interface SessionOwner {
  /** Ends the connection: another one has taken over the session. */
  replaced(): void;
}

/**
 * The puts and announcements of a peer over its connections, which tell whether one that is sent again was taken before. A
 * put is known by the number of the request in which it was first sent.
 *
 * Invariant: `#taken` has the last puts that were taken on this connection, as many as a peer may have unanswered, and
 * `#earlier` twice as many of earlier connections: so they have each put that was taken and whose answer has been lost,
 * although a link may put much before another one has attached again. `#announced` has as many announcements.
 */
export class PeerSession {
  readonly key: string | undefined;
  /** Whether an earlier connection had the session, whose puts it knows. */
  isResumed = false;
  owner: SessionOwner | undefined;
  expiry: ReturnType<typeof setTimeout> | undefined;
  readonly #taken: number[] = [];
  /** The oldest first. */
  #earlier: readonly number[] = [];
  readonly #size: number;
  #next = 0;
  readonly #pending = new Map<number, SessionPut>();
  /** The puts that have failed although the engine may have taken them. */
  readonly #uncertain = new Set<number>();
  /** The announcements that were made or are being made, by the numbers that the peer has given them. */
  readonly #announced = new Map<number, Promise<void>>();

  /** @param size how many puts a peer may have unanswered */
  constructor(key: string | undefined, size: number) {
    this.key = key;
    this.#size = size;
  }

  /** The number of puts and announcements that are remembered. */
  get remembered(): number {
    return this.#earlier.length + this.#taken.length + this.#pending.size +
      this.#uncertain.size + this.#announced.size;
  }

  /** Whether the put was taken. */
  hasTaken(put: number): boolean {
    return this.#taken.includes(put) || this.#earlier.includes(put);
  }

  /** Whether the put has failed although the engine may have taken it. */
  isUncertain(put: number): boolean {
    return this.#uncertain.has(put);
  }

  /** A further connection has the session. */
  resume(): void {
    this.isResumed = true;
    const taken = [...this.#taken.slice(this.#next), ...this.#taken.slice(0, this.#next)];
    this.#earlier = [...this.#earlier, ...taken].slice(-2 * this.#size);
    this.#taken.length = this.#next = 0;
  }

  /** The put of this number, if it is not answered yet. */
  pending(put: number): SessionPut | undefined {
    return this.#pending.get(put);
  }

  begin(number: number, put: SessionPut): void {
    this.#pending.set(number, put);
  }

  /** The put was taken. */
  taken(number: number): void {
    this.#pending.delete(number);
    this.#taken[this.#next] = number;
    this.#next = (this.#next + 1) % this.#size;
  }

  /** The put was not taken, as far as is known. */
  forget(number: number, isUncertain = false): void {
    this.#pending.delete(number);
    if (!isUncertain) return;
    this.#uncertain.add(number);
    if (this.#uncertain.size <= this.#size) return;
    for (const oldest of this.#uncertain) return void this.#uncertain.delete(oldest);
  }

  /** Makes an announcement, unless it was made before. */
  announce(number: number, act: () => Promise<void>): Promise<void> {
    const former = this.#announced.get(number);
    // The earlier attempt may fail because its connection has ended.
    const announcing = former === undefined ? act() : former.catch(act);
    this.#announced.set(number, announcing);
    for (const oldest of this.#announced.keys()) {
      if (this.#announced.size <= this.#size) break;
      this.#announced.delete(oldest);
    }
    return announcing;
  }
}

/** The sessions of a home. One without a connection is forgotten after two minutes, or when there are too many. */
export class PeerSessions {
  readonly #size: number;
  readonly #sessions = new Map<string, PeerSession>();
  /** The sessions without a connection, in the order in which they lost it. */
  readonly #left = new Set<PeerSession>();
  #isClosed = false;

  /** @param size how many puts a peer may have unanswered */
  constructor(size: number) {
    this.#size = size;
  }

  /** The number of puts and announcements that are remembered. */
  get remembered(): number {
    let count = 0;
    for (const session of this.#sessions.values()) count += session.remembered;
    return count;
  }

  /** Whether a connection has the session of this key. */
  isEntered(key: string | undefined): boolean {
    return key !== undefined && this.#sessions.get(key)?.owner !== undefined;
  }

  /**
   * Returns the session of a new connection. An older connection that has it is ended.
   *
   * @param key identifies the session; undefined for a peer that has no further connection
   */
  enter(key: string | undefined, owner: SessionOwner): PeerSession {
    if (key === undefined) return new PeerSession(key, this.#size);
    let session = this.#sessions.get(key);
    if (session === undefined) {
      this.#sessions.set(key, session = new PeerSession(key, this.#size));
    } else session.resume();
    session.owner?.replaced();
    this.#left.delete(session);
    clearTimeout(session.expiry);
    session.owner = owner;
    return session;
  }

  /** The connection has ended. */
  leave(session: PeerSession, owner: SessionOwner): void {
    if (session.key === undefined || session.owner !== owner) return;
    session.owner = undefined;
    if (this.#isClosed) return;
    this.#left.add(session);
    session.expiry = setOptionalTimeout(() => this.#forget(session), memory);
    if (session.expiry !== undefined) unref(session.expiry);
    if (this.#left.size <= mostLeft) return;
    for (const oldest of this.#left) return this.#forget(oldest);
  }

  /** Forgets all. */
  close(): void {
    this.#isClosed = true;
    for (const session of this.#left) clearTimeout(session.expiry);
    this.#left.clear();
    this.#sessions.clear();
  }

  #forget(session: PeerSession): void {
    clearTimeout(session.expiry);
    this.#left.delete(session);
    this.#sessions.delete(session.key!);
  }
}

/** For how many milliseconds a session without a connection is remembered. */
const memory = 120_000;

/** How many sessions without a connection are remembered. */
const mostLeft = 4096;
