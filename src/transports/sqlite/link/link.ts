import { deletedError, drainedError, undelayableError } from "../../../shared/closed_errors.ts";
import { closeTimeout } from "../../../shared/timeouts.ts";
import type {
  ChannelStats,
  Claim,
  Link,
  LinkOptions,
  Loan,
  Offer,
  RoomWaiter,
  Stats,
} from "../../transport.ts";
import { failure } from "../failure.ts";
import type { Posted } from "../file/announcements.ts";
import type { ChannelState } from "../file/channels.ts";
import type { Row } from "../file/messages.ts";
import type { Task } from "../file/transaction_queue.ts";
import type { FileSession } from "../session/session.ts";
import type { SessionLink } from "../session/session_link.ts";
import { AnnouncementReader } from "./announcement_reader.ts";
import { Consumers } from "./consumers.ts";
import type { LinkState } from "./link_state.ts";
import { PutBatch, sizeError } from "./put_batch.ts";
import { LinkTransaction } from "./transaction.ts";

/** Milliseconds within which a session that waits for room puts, unless it is stopped or very busy. */
const meetTime = 50;

/** Returns the milliseconds for which an operation waits for a locked file; at work, sessions lock it all the time. */
export function busyTimeoutOf({ retryTimeout }: LinkOptions): number {
  return Math.max(retryTimeout, 1000);
}

/** A pending call of `drain`. */
interface Drainer {
  resolve(): void;
  reject(error: Error): void;
}

/** What identifies a link. */
export interface LinkIdentity {
  /** The id of the channel. */
  readonly channel: number;
  readonly name: string;
  /** The number of the channel's last announcement, which precedes the link. */
  readonly heard: number;
}

/**
 * A session's attachment to one channel. It keeps in memory what is not in the file yet; each change schedules a
 * transaction, which writes it.
 *
 * Invariant: the session is among the channel's waiters only while `#isWaiting`; a message that it is given ends that.
 */
export class SqliteLink implements Link, SessionLink, Task {
  readonly channel: number;
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #session: FileSession;
  readonly #announcements: AnnouncementReader;
  readonly #puts: PutBatch;
  readonly #roomWaiters = new Set<RoomWaiter>();
  readonly #consumers: Consumers;
  readonly #drainers: Drainer[] = [];
  readonly #state: LinkState;
  /** The transaction that has run and is not committed. */
  #transaction: LinkTransaction | undefined;
  /** Whether the session is among the channel's waiters. */
  #isWaiting = false;
  /** Whether offers or room waiters wait for room. */
  #isFull = false;
  /** Whether the link keeps the process alive. */
  #isHolding = false;
  #isGone = false;
  #closing: Promise<void> | undefined;
  /** Resolves `#closing`. */
  #closed: (() => void) | undefined;
  /** The time for which polls wait for producers of a channel of capacity 0. */
  #meeting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    { channel, name, heard }: LinkIdentity,
    options: LinkOptions,
    session: FileSession,
    stats: Stats,
  ) {
    this.channel = channel;
    this.#name = name;
    this.#options = options;
    this.#session = session;
    this.#announcements = new AnnouncementReader(channel, session.store.announcements, heard);
    this.#puts = new PutBatch(stats);
    this.#consumers = new Consumers(stats, () => this.#schedule());
    const { claims, readAhead, readAheadSize, settlements } = this.#consumers;
    this.#state = {
      channel,
      session,
      puts: this.#puts,
      roomWaiters: this.#roomWaiters,
      claims,
      readAhead,
      readAheadSize,
      settlements,
    };
  }

  get busyTimeout(): number {
    return this.#closing === undefined ? busyTimeoutOf(this.#options) : closeTimeout;
  }

  // Link

  put(offer: Offer): void {
    if (this.#isGone) return offer.reject(deletedError(this.#name));
    const error = sizeError("put", this.#session.path, offer.message.body.byteLength);
    if (error !== undefined) return offer.reject(error);
    this.#puts.add(offer);
    this.#consumers.claims.markEarly();
    this.#schedule();
  }

  take(claim: Claim): void {
    if (this.#isGone) return claim.reject(deletedError(this.#name));
    this.#consumers.claims.add(claim);
    this.#serve();
    if (this.#consumers.claims.waiting === 0) return;
    this.#schedule();
    if (this.#isWaiting) claim.waits?.();
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#isGone) return waiter.tryAgain();
    this.#roomWaiters.add(waiter);
    this.#schedule();
  }

  withdraw(one: Offer | Claim | RoomWaiter): boolean {
    if (this.#puts.remove(one as Offer) || this.#roomWaiters.delete(one as RoomWaiter)) {
      this.#offersLeft();
      return true;
    }
    if (!this.#consumers.claims.withdraw(one as Claim)) return false;
    this.#updateHold();
    if (this.#isWaiting && !this.#isGone) this.#schedule();
    return true;
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    const polling = this.#consumers.claims.poll(counted);
    this.#serve();
    if (this.#consumers.claims.polling > 0) this.#schedule();
    return polling;
  }

  announce(event: Uint8Array, isControl = false): Promise<void> {
    const error = sizeError("announce", this.#session.path, event.byteLength);
    if (error !== undefined) return Promise.reject(error);
    const { announcements } = this.#session.store;
    let posted: Posted | undefined;
    return this.#do("announce", () => {
      posted = announcements.post(this.channel, event, isControl);
    }, () => this.#announcements.addOwn(posted));
  }

  catchUp(): Promise<void> {
    if (!this.#session.check()) return this.#do("connect", () => {}).then(() => this.catchUp());
    return Promise.resolve();
  }

  depth(): Promise<number> {
    return this.#do("depth", ({ depth }) => depth);
  }

  async stats(): Promise<ChannelStats> {
    const { store } = this.#session;
    return await this.#do("stats", ({ depth, capacity, is_closed: isClosed }) => ({
      depth,
      loans: store.messages.held(this.channel),
      consumers: store.waiters.count(this.channel),
      delayed: store.delayed.count(this.channel),
      ...capacity === null ? {} : { capacity },
      closed: isClosed !== 0,
    }));
  }

  drain(): Promise<void> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    return new Promise((resolve, reject) => {
      this.#drainers.push({ resolve, reject });
      this.#schedule();
    });
  }

  async delete(): Promise<void> {
    if (this.#isGone) return;
    const { store, transactions, path } = this.#session;
    const deleting = transactions.do(this.busyTimeout, () => store.channels.delete(this.channel));
    await deleting.catch((error) => {
      throw failure("delete", path, error);
    });
    this.#end();
    this.#rejectAll(() => deletedError(this.#name));
  }

  close(): Promise<void> {
    return this.#closing ??= new Promise((resolve) => {
      if (this.#isGone) return resolve();
      this.#closed = resolve;
      this.#schedule();
    });
  }

  /**
   * Runs `act` in a transaction, unless the channel is deleted.
   *
   * @param committed called after the commit
   */
  #do<T>(action: string, act: (state: ChannelState) => T, committed?: () => void): Promise<T> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    const { store, transactions, path } = this.#session;
    return transactions.do(this.busyTimeout, () => {
      const state = store.channels.state(this.channel);
      if (state === undefined) throw deletedError(this.#name);
      return act(state);
    }, committed).catch((error) => {
      throw failure(action, path, error);
    });
  }

  // SessionLink

  receive(row: Row): void {
    this.#setWaiting(false);
    this.#consumers.add(row, false);
  }

  received(): void {
    this.#serve();
    if (this.#consumers.claims.waiting > 0 && !this.#isWaiting) this.#schedule();
  }

  readAnnouncements(): number | undefined {
    const found = this.#announcements.read();
    if (found === undefined) return undefined;
    const { observer } = this.#options;
    if (found.missed > 0) observer.missed(found.missed);
    for (const event of found.events) {
      if (this.#isGone) break;
      if (event === null) this.channelGone();
      else observer.announced(event);
    }
    return found.last;
  }

  stateChanged(): void {
    this.#schedule();
  }

  channelGone(): void {
    if (this.#isGone) return;
    this.#end();
    this.#options.observer.gone();
    this.#rejectAll(() => deletedError(this.#name));
  }

  resume(): void {
    if (
      this.#consumers.settlements.isPending || this.#isFull ||
      this.#isWaiting && this.#consumers.claims.size === 0
    ) this.#schedule();
  }

  // Task

  write(): void {
    if (this.#isGone) return;
    this.#transaction = new LinkTransaction(this.#state);
    this.#transaction.run({
      isWaiting: this.#isWaiting,
      isFull: this.#isFull,
      isDraining: this.#drainers.length > 0,
      isClosing: this.#closing !== undefined,
    });
  }

  written(): void {
    const transaction = this.#transaction;
    if (transaction === undefined || this.#isGone) return;
    this.#transaction = undefined;
    const { inbox } = this.#session;
    inbox.removeCollected(this.#consumers.settlements.written());
    if (transaction.isGone) {
      inbox.readAnnouncements(this); // those that precede the deletion
      return this.channelGone();
    }
    const { take, isOver, isMeeting } = transaction;
    if (take === undefined) return this.#finishClose();
    inbox.removeCollected(take.recorded);
    inbox.removeCollected(take.returned);
    for (const row of take.given) inbox.addCollected(row);
    this.#setWaiting(take.isWaiting);
    this.#consumers.apply(take);
    this.#applyPuts(transaction);
    this.#serve();
    if (isOver) this.#consumers.claims.reject(() => drainedError(this.#name));
    else if (this.#isWaiting) this.#consumers.claims.notifyWaiting();
    if (isMeeting && this.#consumers.claims.polling > 0) this.#meet();
    else if (!take.hasMore) this.#consumers.claims.endPolls();
    // The claims may have been withdrawn: another link has served their select.
    const hasUselessWaiter = this.#isWaiting && this.#consumers.claims.size === 0;
    const hasMore = take.hasMore || this.#puts.size > 0 && !this.#isFull;
    if (hasMore || hasUselessWaiter) this.#schedule();
    this.#offersLeft();
  }

  failed(error: unknown): void {
    this.#transaction = undefined;
    const reason = failure("use", this.#session.path, error);
    this.#rejectAll(() => reason);
    if (this.#closing !== undefined) this.#finishClose();
  }

  #applyPuts({ puts, undelayable, isClosed }: LinkTransaction): void {
    this.#puts.confirm(puts?.admitted ?? []);
    this.#isFull = puts?.isFull ?? false;
    this.#puts.refuse(puts?.refused ?? []);
    this.#puts.reject(() => undelayableError(this.#name), undelayable);
    if (isClosed) {
      for (const { resolve } of this.#drainers.splice(0)) resolve();
      this.#puts.reject(() => drainedError(this.#name));
    }
    const mayOffer = isClosed ? [...this.#roomWaiters] : puts?.roomy ?? [];
    for (const waiter of mayOffer) {
      if (this.#roomWaiters.delete(waiter)) waiter.tryAgain();
    }
  }

  /** Lets polls wait for a moment, for a message of a session that waits for room. */
  #meet(): void {
    this.#meeting ??= setTimeout(() => {
      this.#meeting = undefined;
      this.#consumers.claims.endPolls();
      this.#schedule();
    }, meetTime);
  }

  #serve(): void {
    this.#consumers.serve();
    this.#updateHold();
  }

  #setWaiting(isWaiting: boolean): void {
    if (isWaiting === this.#isWaiting) return;
    this.#isWaiting = isWaiting;
    this.#session.inbox.addWaiting(isWaiting ? 1 : -1);
  }

  /** Offers or room waiters were removed. */
  #offersLeft(): void {
    if (this.#puts.size + this.#roomWaiters.size === 0) this.#isFull = false;
    this.#updateHold();
  }

  /** Keeps the process alive while a claim waits for a message, or an offer for room. */
  #updateHold(): void {
    const isHolding = (this.#consumers.claims.waiting > 0 || this.#isFull) && !this.#isGone;
    if (isHolding === this.#isHolding) return;
    this.#isHolding = isHolding;
    this.#session.hold(isHolding ? 1 : -1);
  }

  #schedule(): void {
    this.#session.transactions.schedule(this);
  }

  #finishClose(): void {
    this.#end();
    this.#rejectAll(() => deletedError(this.#name));
  }

  /** Ends the link: it writes nothing any more. */
  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#meeting);
    this.#session.inbox.removeCollected(this.#consumers.end());
    this.#setWaiting(false);
    this.#updateHold();
    this.#session.detach(this);
    this.#closed?.();
  }

  #rejectAll(newError: () => Error): void {
    this.#puts.reject(newError);
    this.#consumers.claims.reject(newError);
    for (const { reject } of this.#drainers.splice(0)) reject(newError());
    this.#offersLeft();
  }
}
