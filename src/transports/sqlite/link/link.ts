import { deletedError, drainedError, undelayableError } from "../../../shared/closed_errors.ts";
import type { Posted } from "../file/announcements.ts";
import type { Claim, Link, LinkOptions, Loan, Offer, RoomWaiter, Stats } from "../../transport.ts";
import { closeTimeout } from "../../../shared/timeouts.ts";
import { Claimants } from "./claims.ts";
import { Exchange } from "./transaction.ts";
import { failure } from "../failure.ts";
import { Ledger } from "./settlements.ts";
import { type Lender, SqliteLoan } from "./loan.ts";
import { excess, Outbox } from "./put_batch.ts";
import { Pace } from "./read_ahead_size.ts";
import { Plan } from "./plan.ts";
import type { Session } from "../session/session.ts";
import { Shelf } from "./read_ahead.ts";
import type { ChannelState, Row } from "../file/store.ts";
import type { Task } from "../file/writer.ts";

/** Milliseconds for which an operation waits while others keep the file locked, which at work all do. */
export function patienceOf({ retryTimeout }: LinkOptions): number {
  return Math.max(retryTimeout, 1000);
}

/**
 * A session's attachment to one channel: what it wants, as long as it is not in the file.
 *
 * Invariants: claimants or messages on the shelf are left, never both, but until the next transaction,
 * which comes: while a claim wants its attempts counted and the file does not say so, or what was
 * released is older than what is on the shelf. The session is among the channel's waiters only while
 * `#isWaiting`, which a message that it is given ends.
 */
export class SqliteLink implements Link, Task, Lender {
  readonly channel: number;
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #session: Session;
  readonly #stats: Stats;
  readonly #outbox: Outbox;
  readonly #claimants = new Claimants();
  readonly #shelf = new Shelf(() => this.#schedule());
  readonly #ledger = new Ledger();
  readonly #roomWaiters = new Set<RoomWaiter>();
  readonly #pace = new Pace();
  readonly #exchange: Exchange;
  #isWaiting = false;
  #holds = false;
  #isGone = false;
  /** Whether some wait for room. */
  #isFull = false;
  /** Those who close the channel for all. */
  readonly #drainers: Drainer[] = [];
  #closing: Promise<void> | undefined;
  /** Resolves `#closing`. */
  #closed: (() => void) | undefined;
  #plan: Plan | undefined;
  #meeting: ReturnType<typeof setTimeout> | undefined;
  /** The number of the last announcement that was heard, or is older than the link. */
  #heard: number;
  /** How many of its own were announced since. */
  #own = 0;

  constructor(
    channel: number,
    heard: number,
    name: string,
    options: LinkOptions,
    session: Session,
    stats: Stats,
  ) {
    this.channel = channel;
    this.#heard = heard;
    this.#name = name;
    this.#options = options;
    this.#session = session;
    this.#stats = stats;
    this.#outbox = new Outbox(stats);
    this.#exchange = new Exchange(channel, session, {
      outbox: this.#outbox,
      claimants: this.#claimants,
      shelf: this.#shelf,
      ledger: this.#ledger,
      roomWaiters: this.#roomWaiters,
      pace: this.#pace,
    });
  }

  get patience(): number {
    return this.#closing === undefined ? patienceOf(this.#options) : closeTimeout;
  }

  put(offer: Offer): void {
    if (this.#isGone) return offer.reject(deletedError(this.#name));
    const error = excess("put", this.#session.path, offer.message.body.byteLength);
    if (error !== undefined) return offer.reject(error);
    this.#outbox.add(offer);
    this.#claimants.setEarly();
    this.#schedule();
  }

  take(claim: Claim): void {
    if (this.#isGone) return claim.reject(deletedError(this.#name));
    this.#claimants.claim(claim);
    this.#serve();
    if (this.#claimants.waiting === 0) return;
    this.#schedule();
    if (this.#isWaiting) claim.waits?.();
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#isGone) return waiter.tryAgain();
    this.#roomWaiters.add(waiter);
    this.#schedule();
  }

  withdraw(one: Offer | Claim | RoomWaiter): boolean {
    if (this.#outbox.remove(one as Offer) || this.#roomWaiters.delete(one as RoomWaiter)) {
      this.#rest();
      return true;
    }
    if (!this.#claimants.withdraw(one as Claim)) return false;
    this.#hold();
    if (this.#isWaiting && !this.#isGone) this.#schedule();
    return true;
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    const polling = this.#claimants.poll(counted);
    this.#serve();
    if (this.#claimants.polling > 0) this.#schedule();
    return polling;
  }

  announce(event: Uint8Array, isControl = false): Promise<void> {
    const error = excess("announce", this.#session.path, event.byteLength);
    if (error !== undefined) return Promise.reject(error);
    const { announcements } = this.#session.store;
    let posted: Posted | undefined;
    return this.#do("announce", () => {
      posted = announcements.post(this.channel, event, isControl);
    }, () => {
      if (posted?.isHeard) this.#heard = posted.seq;
      else if (posted !== undefined) this.#own++;
    });
  }

  catchUp(): Promise<void> {
    if (!this.#session.look()) return this.#do("connect", () => {}).then(() => this.catchUp());
    return Promise.resolve();
  }

  depth(): Promise<number> {
    return this.#do("depth", ({ depth }) => depth);
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
    const { store, writer, path } = this.#session;
    await writer.do(this.patience, () => store.delete(this.channel)).catch((error) => {
      throw failure("delete", path, error);
    });
    this.#end();
    this.#rejectAll(deletedError(this.#name));
  }

  close(): Promise<void> {
    return this.#closing ??= new Promise((resolve) => {
      if (this.#isGone) return resolve();
      this.#closed = resolve;
      this.#schedule();
    });
  }

  /**
   * Does something with a channel that is there.
   *
   * @param done called when it is in the file
   */
  #do<T>(action: string, act: (state: ChannelState) => T, done?: () => void): Promise<T> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    return this.#session.writer.do(this.patience, () => {
      const state = this.#session.store.state(this.channel);
      if (state === undefined) throw deletedError(this.#name);
      return act(state);
    }, done).catch((error) => {
      throw failure(action, this.#session.path, error);
    });
  }

  /** A message that another session has given to this one. */
  receive(row: Row): void {
    this.#wait(false);
    this.#shelf.add(new SqliteLoan(row, this, false));
  }

  /** Hands over what has been received. */
  received(): void {
    this.#serve();
    if (this.#claimants.waiting > 0 && !this.#isWaiting) this.#schedule();
  }

  /** Hears what was announced; the number of the last one, if there is something. */
  hear(): number | undefined {
    const { announcements } = this.#session.store;
    const since = announcements.read(this.channel, this.#heard);
    const last = since.at(-1)?.seq;
    if (last === undefined) return undefined;
    const others = since.filter(({ session }) => session !== announcements.session);
    const missed = last - this.#heard - this.#own - others.length;
    this.#heard = last;
    this.#own = 0;
    if (missed > 0) this.#options.observer.missed(missed);
    for (const { event } of others) {
      if (this.#isGone) break;
      if (event === null) this.vanish();
      else this.#options.observer.announced(event);
    }
    return last;
  }

  /** The channel's state is another one: closed, or there is room, or nothing to wait for. */
  changed(): void {
    this.#schedule();
  }

  /** The channel is no longer there. */
  vanish(): void {
    if (this.#isGone) return;
    this.#end();
    this.#options.observer.gone();
    this.#rejectAll(deletedError(this.#name));
  }

  settled(loan: SqliteLoan): void {
    if (loan.outcome === "accepted") this.#stats.gets++;
    if (this.#isGone) return;
    this.#ledger.settle(loan);
    this.#schedule();
  }

  // Task

  write(): void {
    const { store } = this.#session;
    const plan = this.#plan = new Plan(this.#isWaiting, this.#isFull, this.#drainers.length > 0);
    if (this.#isGone) return;
    const accepted = this.#ledger.write(store, this.channel);
    const state = store.state(this.channel);
    if (state === undefined) {
      plan.isGone = true;
      return;
    }
    if (state.capacity !== null) store.putters.resize(this.channel, -accepted);
    plan.isClosed = state.is_closed !== 0;
    if (this.#closing !== undefined) this.#giveAllBack();
    else this.#exchange.make(plan, state, accepted);
    if (plan.isClosed && store.isEmpty(this.channel)) {
      plan.isOver = true;
      if (plan.isWaiting) this.#exchange.waitNoMore(plan);
      store.rouse(this.channel);
    }
  }

  written(): void {
    const plan = this.#plan;
    if (plan === undefined || this.#isGone) return;
    this.#plan = undefined;
    this.#session.forget([...this.#ledger.written(), ...plan.kept, ...plan.returned]);
    if (plan.isGone) {
      this.#session.hear(this); // what was announced before
      return this.vanish();
    }
    if (this.#closing !== undefined) return this.#finish();
    this.#wait(plan.isWaiting);
    for (const loan of plan.kept) {
      loan.isKept = true;
      this.#ledger.lent.delete(loan);
    }
    this.#shelf.remove(plan.returned);
    const isKept = this.#claimants.isCounting;
    this.#claimants.refuse(plan.refused);
    for (const row of plan.rows) this.#shelf.add(new SqliteLoan(row, this, isKept));
    for (const row of plan.given) {
      this.#session.note(row);
      this.#shelf.add(new SqliteLoan(row, this, false));
    }
    this.#outbox.taken(plan.offers);
    this.#isFull = plan.isFull;
    this.#outbox.full(plan.impatient);
    this.#outbox.refuse(() => undelayableError(this.#name), plan.undelayable);
    if (plan.isClosed) {
      for (const { resolve } of this.#drainers.splice(0)) resolve();
      this.#outbox.refuse(() => drainedError(this.#name));
    }
    for (const waiter of plan.isClosed ? [...this.#roomWaiters] : plan.roomy) {
      if (this.#roomWaiters.delete(waiter)) waiter.tryAgain();
    }
    this.#serve();
    if (plan.isOver) this.#claimants.end(() => drainedError(this.#name));
    else if (this.#isWaiting) this.#claimants.tell();
    if (plan.isMeeting && this.#claimants.polling > 0) this.#meet();
    else if (!plan.isMore) this.#claimants.refuse();
    // The claims may have been withdrawn, as another link has served their select.
    const isLeft = this.#isWaiting && this.#claimants.size === 0;
    const isMore = plan.isMore || this.#outbox.size > 0 && !this.#isFull;
    if (isMore || isLeft) this.#schedule();
    this.#rest();
  }

  failed(error: unknown): void {
    this.#plan = undefined;
    this.#rejectAll(failure("use", this.#session.path, error));
    if (this.#closing !== undefined) this.#finish();
  }

  /** Writes what could not be written when it was due. */
  resume(): void {
    if (
      this.#ledger.isSettled || this.#isFull || this.#isWaiting && this.#claimants.size === 0
    ) this.#schedule();
  }

  /** Has those who only ask wait for a moment, for whoever has something for them. */
  #meet(): void {
    this.#meeting ??= setTimeout(() => {
      this.#meeting = undefined;
      this.#claimants.refuse();
      this.#schedule();
    }, meetTime);
  }

  #giveBack(loan: SqliteLoan, redelivered: boolean): void {
    this.#session.store.release(this.channel, loan.id, loan.tried, redelivered);
  }

  /** The last that is written of this link. */
  #giveAllBack(): void {
    const { store } = this.#session;
    for (const loan of this.#shelf) this.#giveBack(loan, false);
    for (const loan of this.#ledger.lent) this.#giveBack(loan, true);
    for (const row of this.#session.given()) {
      if (row.channel === this.channel) store.release(this.channel, row.id, row.attempts, false);
    }
    store.detach(this.channel);
    store.serve(this.channel);
  }

  #finish(): void {
    this.#end();
    this.#rejectAll(deletedError(this.#name));
  }

  #serve(): void {
    for (let loan = this.#shelf.first; loan !== undefined; loan = this.#shelf.first) {
      if (this.#claimants.size === 0) break;
      if (this.#ledger.hasReleased || this.#claimants.isCounting && !loan.isKept) {
        this.#schedule();
        break;
      }
      this.#hand(this.#shelf.shift()!);
    }
    this.#shelf.watch();
    this.#hold();
  }

  #hand(loan: SqliteLoan): void {
    const claimant = this.#claimants.next()!;
    this.#pace.count(loan.message.body.byteLength);
    if (loan.redelivered) this.#stats.redeliveries++;
    loan.lend(claimant.counted);
    if (!loan.isKept) {
      this.#ledger.lent.add(loan);
      this.#schedule();
    }
    claimant.deliver(loan);
  }

  #wait(isWaiting: boolean): void {
    if (isWaiting === this.#isWaiting) return;
    this.#isWaiting = isWaiting;
    this.#session.wait(isWaiting ? 1 : -1);
  }

  /** After offers have left. */
  #rest(): void {
    if (this.#outbox.size + this.#roomWaiters.size === 0) this.#isFull = false;
    this.#hold();
  }

  /** Keeps the process alive while someone waits. */
  #hold(): void {
    const isHeld = (this.#claimants.waiting > 0 || this.#isFull) && !this.#isGone;
    if (isHeld === this.#holds) return;
    this.#holds = isHeld;
    this.#session.hold(isHeld ? 1 : -1);
  }

  #schedule(): void {
    this.#session.writer.schedule(this);
  }

  /** Nothing is written of this link any more. */
  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#meeting);
    this.#session.forget([...this.#ledger.clear(), ...this.#ledger.lent, ...this.#shelf]);
    this.#shelf.clear();
    this.#wait(false);
    this.#hold();
    this.#session.detach(this);
    this.#closed?.();
  }

  #rejectAll(error: Error): void {
    this.#outbox.reject(error);
    this.#claimants.reject(error);
    for (const { reject } of this.#drainers.splice(0)) reject(error);
    this.#rest();
  }
}

/** Milliseconds in which whoever waits to put answers who asks, unless it is stopped or very busy. */
const meetTime = 50;

/** Someone who closes the channel for all. */
interface Drainer {
  resolve(): void;
  reject(error: Error): void;
}
