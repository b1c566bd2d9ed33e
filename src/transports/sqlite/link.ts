import { ChannelClosedError } from "../../errors.ts";
import { Fifo } from "../../fifo.ts";
import { unref } from "../../timers.ts";
import type { Claim, Link, LinkOptions, Loan, Offer, Stats } from "../../transport.ts";
import { failure } from "./failure.ts";
import { type Lender, SqliteLoan } from "./loan.ts";
import { Pace, patience as restTime } from "./pace.ts";
import type { Session } from "./session.ts";
import type { Row } from "./store.ts";
import type { Task } from "./writer.ts";
import { closeTimeout } from "../../within.ts";

/** How many messages are put, or taken, in one transaction; and about how many bytes. */
const most = 500;
const mostBytes = 4 << 20;
/** SQLite's own limit is 1,000,000,000 bytes for a whole row. */
const largest = 999_000_000;

/** Milliseconds for which an operation waits while others keep the file locked, which at work all do. */
export function patienceOf({ retryTimeout }: LinkOptions): number {
  return Math.max(retryTimeout, 1000);
}

/** Someone who takes a message that is there, and does not wait. */
interface Ask {
  readonly counted: boolean;
  /** Whether something was put here since, which is not for it. */
  isEarly: boolean;
  resolve(loan: Loan | undefined): void;
  reject(error: unknown): void;
}

/** What one transaction did, to be applied when it is committed. */
interface Plan {
  offers: Offer[];
  /** Taken by this session itself. */
  rows: Row[];
  /** Given to it in this same transaction. */
  given: Row[];
  /** For whom nothing was there. */
  refused: Ask[];
  kept: SqliteLoan[];
  returned: SqliteLoan[];
  isWaiting: boolean;
  isGone: boolean;
  isMore: boolean;
}

/**
 * A session's attachment to one channel: what it wants, as long as it is not in the file.
 *
 * Invariants: claims or `#ready` messages are left, never both, but while a claim wants its attempts
 * counted and the file does not say so yet. `#ready` is in the channel's order. The session is among the
 * channel's waiters only while `#isWaiting`, which `Session.collect` ends.
 */
export class SqliteLink implements Link, Task, Lender {
  readonly channel: number;
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #session: Session;
  readonly #stats: Stats;
  readonly #offers = new Set<Offer>();
  readonly #claims = new Fifo<Claim>();
  readonly #asks = new Set<Ask>();
  /** How many of those who wait want their attempts counted. */
  #counting = 0;
  /** Here, and nobody's. */
  #ready: SqliteLoan[] = [];
  /** Lent, and the file does not know it. */
  readonly #lent = new Set<SqliteLoan>();
  #accepted: SqliteLoan[] = [];
  #released: SqliteLoan[] = [];
  readonly #pace = new Pace();
  #rest: ReturnType<typeof setTimeout> | undefined;
  #isWaiting = false;
  #holds = false;
  #isGone = false;
  #closing: Promise<void> | undefined;
  /** Resolves `#closing`. */
  #closed: (() => void) | undefined;
  #plan: Plan | undefined;

  constructor(
    channel: number,
    name: string,
    options: LinkOptions,
    session: Session,
    stats: Stats,
  ) {
    this.channel = channel;
    this.#name = name;
    this.#options = options;
    this.#session = session;
    this.#stats = stats;
  }

  get patience(): number {
    return this.#closing === undefined ? patienceOf(this.#options) : closeTimeout;
  }

  put(offer: Offer): void {
    if (this.#isGone) return offer.reject(this.#closedError());
    const { byteLength } = offer.message.body;
    if (byteLength > largest) {
      const cause = new RangeError(`${byteLength} bytes are more than SQLite takes`);
      return offer.reject(failure("put", this.#session.path, cause));
    }
    this.#stats.puts++;
    this.#stats.outstanding++;
    this.#offers.add(offer);
    for (const ask of this.#asks) ask.isEarly = true;
    this.#schedule();
  }

  take(claim: Claim): void {
    if (this.#isGone) return claim.reject(this.#closedError());
    this.#claims.push(claim);
    if (claim.counted) this.#counting++;
    this.#serve();
    if (this.#claims.size > 0) this.#schedule();
  }

  withdraw(one: Offer | Claim): boolean {
    if (this.#offers.delete(one as Offer)) {
      this.#stats.outstanding--;
      return true;
    }
    if (!this.#claims.remove(one as Claim)) return false;
    if ((one as Claim).counted) this.#counting--;
    this.#hold();
    if (this.#isWaiting && !this.#isGone) this.#schedule();
    return true;
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    if (this.#isGone) return Promise.reject(this.#closedError());
    return new Promise((resolve, reject) => {
      this.#asks.add({ counted, isEarly: false, resolve, reject });
      if (counted) this.#counting++;
      this.#serve();
      if (this.#asks.size > 0) this.#schedule();
    });
  }

  announce(event: Uint8Array): Promise<void> {
    return this.#do("closeAll", () => this.#session.store.announce(this.channel, event));
  }

  catchUp(): Promise<void> {
    if (!this.#session.look()) return this.#do("connect", () => {}).then(() => this.catchUp());
    return Promise.resolve();
  }

  depth(): Promise<number> {
    return this.#do("depth", () => this.#session.store.depth(this.channel)!);
  }

  async delete(): Promise<void> {
    if (this.#isGone) return;
    await this.#session.writer.do(
      this.patience,
      () => {
        const { store } = this.#session;
        if (store.has(this.channel)) store.delete(this.channel);
      },
    ).catch((error) => {
      throw failure("delete", this.#session.path, error);
    });
    this.#end();
    this.#rejectAll(this.#closedError());
  }

  close(): Promise<void> {
    return this.#closing ??= new Promise((resolve) => {
      if (this.#isGone) return resolve();
      this.#closed = resolve;
      this.#schedule();
    });
  }

  /** Does something with a channel that is there. */
  #do<T>(action: string, act: () => T): Promise<T> {
    if (this.#isGone) return Promise.reject(this.#closedError());
    return this.#session.writer.do(this.patience, () => {
      if (!this.#session.store.has(this.channel)) throw this.#closedError();
      return act();
    }).catch((error) => {
      throw failure(action, this.#session.path, error);
    });
  }

  /** A message that another session has given to this one. */
  receive(row: Row): void {
    this.#wait(false);
    this.#insert(new SqliteLoan(row, this, false));
  }

  /** To its place in the channel's order, mostly the end. */
  #insert(loan: SqliteLoan): void {
    let i = this.#ready.length;
    while (i > 0 && this.#ready[i - 1]!.id > loan.id) i--;
    this.#ready.splice(i, 0, loan);
  }

  /** Hands over what has been received. */
  received(): void {
    this.#serve();
    if (this.#claims.size > 0 && !this.#isWaiting) this.#schedule();
  }

  announced(event: Uint8Array): void {
    this.#options.observer.announced(event);
  }

  /** The channel is no longer there. */
  vanish(): void {
    if (this.#isGone) return;
    this.#end();
    this.#options.observer.gone();
    this.#rejectAll(this.#closedError());
  }

  settled(loan: SqliteLoan): void {
    this.#lent.delete(loan);
    if (loan.outcome === "accepted") this.#stats.gets++;
    if (this.#isGone) return;
    (loan.outcome === "accepted" ? this.#accepted : this.#released).push(loan);
    this.#schedule();
  }

  // Task

  write(): void {
    const { store } = this.#session;
    const plan: Plan = this.#plan = {
      offers: [],
      rows: [],
      given: [],
      refused: [],
      kept: [],
      returned: [],
      isWaiting: this.#isWaiting,
      isGone: false,
      isMore: false,
    };
    if (this.#isGone) return;
    this.#settle();
    if (!store.has(this.channel)) {
      plan.isGone = true;
      return;
    }
    if (this.#closing !== undefined) return this.#giveAllBack();
    if (this.#isWaiting && this.#claims.size === 0) this.#waitNoMore(plan);
    this.#keepLent(plan);
    this.#return(plan);
    if (this.#released.length > 0 || plan.returned.length > 0) store.serve(this.channel);
    this.#fillEarly(plan);
    this.#putOffers(plan);
    this.#fill(plan);
  }

  written(): void {
    const plan = this.#plan;
    if (plan === undefined || this.#isGone) return;
    this.#plan = undefined;
    this.#session.forget(this.#accepted);
    this.#session.forget(this.#released);
    this.#session.forget(plan.kept);
    this.#session.forget(plan.returned);
    this.#accepted = [];
    this.#released = [];
    if (plan.isGone) return this.vanish();
    if (this.#closing !== undefined) return this.#finish();
    this.#wait(plan.isWaiting);
    for (const loan of plan.kept) {
      loan.isKept = true;
      this.#lent.delete(loan);
    }
    if (plan.returned.length > 0) {
      const returned = new Set(plan.returned);
      this.#ready = this.#ready.filter((loan) => !returned.has(loan));
    }
    const isKept = this.#counting > 0;
    this.#refuse(plan.refused);
    for (const row of plan.rows) this.#insert(new SqliteLoan(row, this, isKept));
    for (const row of plan.given) {
      this.#session.note(row);
      this.#insert(new SqliteLoan(row, this, false));
    }
    for (const offer of plan.offers) {
      this.#offers.delete(offer);
      this.#stats.outstanding--;
      this.#stats.confirms++;
      offer.taken();
    }
    this.#serve();
    if (!plan.isMore) this.#refuse(this.#asks);
    if (plan.isMore || this.#offers.size > 0) this.#schedule();
  }

  failed(error: unknown): void {
    this.#plan = undefined;
    this.#rejectAll(failure("use", this.#session.path, error));
    if (this.#closing !== undefined) this.#finish();
  }

  /** Writes what was settled while that failed. */
  resume(): void {
    if (this.#accepted.length + this.#released.length > 0) this.#schedule();
  }

  /** What was accepted and released. */
  #settle(): void {
    const { store } = this.#session;
    if (this.#accepted.length > 0) store.accept(this.#accepted.map(({ id }) => id));
    for (const loan of this.#released) this.#giveBack(loan, true);
  }

  #giveBack(loan: SqliteLoan, redelivered: boolean): void {
    this.#session.store.release(this.channel, loan.id, loan.tried, redelivered);
  }

  /** The last that is written of this link. */
  #giveAllBack(): void {
    const { store } = this.#session;
    for (const loan of this.#ready) this.#giveBack(loan, false);
    for (const loan of this.#lent) this.#giveBack(loan, true);
    for (const row of this.#session.given()) {
      if (row.channel === this.channel) store.release(this.channel, row.id, row.attempts, false);
    }
    store.detach(this.channel);
    store.serve(this.channel);
  }

  #finish(): void {
    this.#end();
    this.#rejectAll(this.#closedError());
  }

  /** Says in the file what is being tried. */
  #keepLent(plan: Plan): void {
    for (const loan of this.#lent) {
      this.#session.store.keep(loan.id, loan.attempts);
      plan.kept.push(loan);
    }
  }

  /** Gives back what nobody has got in time. */
  #return(plan: Plan): void {
    if (this.#claims.size + this.#asks.size > 0) return;
    const limit = performance.now() - restTime;
    for (const loan of this.#ready) {
      if (loan.since > limit) continue;
      this.#giveBack(loan, false);
      plan.returned.push(loan);
    }
  }

  /** Serves who asked before something was put. */
  #fillEarly(plan: Plan): void {
    const early = [...this.#asks].filter(({ isEarly }) => isEarly);
    if (early.length === 0) return;
    const need = this.#claims.size + early.length - this.#ready.length;
    if (need <= 0) return;
    plan.rows = this.#session.store.take(this.channel, need, this.#counting > 0);
    const lacking = Math.min(need - plan.rows.length, early.length);
    plan.refused = early.slice(early.length - lacking);
  }

  #putOffers(plan: Plan): void {
    let bytes = 0;
    for (const offer of this.#offers) {
      if (plan.offers.length === most || bytes > mostBytes) break;
      plan.offers.push(offer);
      bytes += offer.message.body.byteLength;
    }
    if (plan.offers.length === 0) return;
    this.#session.store.put(this.channel, plan.offers.map(({ message }) => message));
  }

  /** Takes messages for those who wait, and joins the waiters where there are too few. */
  #fill(plan: Plan): void {
    const { store } = this.#session;
    const asks = this.#asks.size - plan.refused.length;
    const wanted = this.#claims.size + asks;
    const isTry = this.#counting > 0;
    if (isTry) {
      for (const loan of this.#ready.slice(0, wanted)) {
        if (loan.isKept) continue;
        store.keep(loan.id, loan.lend(true).attempts);
        plan.kept.push(loan);
      }
    }
    if (plan.isWaiting && store.isWoken) { // what precedes all that waits
      const back = new Set([...this.#released, ...plan.returned].map(({ id }) => id));
      plan.given = this.#session.given(back).filter(({ channel }) => channel === this.channel);
      if (plan.given.length > 0) plan.isWaiting = false;
    }
    const lacking = wanted - this.#ready.length - plan.given.length - plan.rows.length;
    const need = Math.min(lacking, most, this.#pace.fitting(mostBytes));
    let taken = 0;
    if (need > 0) {
      const ahead = isTry ? 0 : this.#pace.next();
      const rows = store.take(this.channel, need + ahead, isTry);
      taken = rows.length;
      plan.rows.push(...rows);
      plan.isMore = taken >= need && lacking > need;
    }
    const mustWait = taken < need && taken < lacking - asks;
    if (mustWait === plan.isWaiting) return;
    if (!mustWait) return this.#waitNoMore(plan);
    store.wait(this.channel);
    plan.isWaiting = true;
  }

  #waitNoMore(plan: Plan): void {
    this.#session.store.waitNoMore(this.channel);
    plan.isWaiting = false;
  }

  #serve(): void {
    while (this.#ready.length > 0 && this.#claims.size + this.#asks.size > 0) {
      if (this.#counting > 0 && !this.#ready[0]!.isKept) {
        this.#schedule();
        break;
      }
      this.#hand(this.#ready.shift()!);
    }
    if (this.#ready.length > 0) this.#restSoon();
    this.#hold();
  }

  #hand(loan: SqliteLoan): void {
    const claim = this.#claims.shift();
    const ask = claim === undefined ? this.#asks.values().next().value! : undefined;
    const { counted } = claim ?? ask!;
    if (claim?.counted) this.#counting--;
    if (ask !== undefined) this.#forgetAsk(ask);
    this.#pace.count(loan.message.body.byteLength);
    if (loan.redelivered) this.#stats.redeliveries++;
    loan.lend(counted);
    if (!loan.isKept) {
      this.#lent.add(loan);
      this.#schedule();
    }
    if (claim !== undefined) claim.deliver(loan);
    else ask!.resolve(loan);
  }

  #refuse(asks: Iterable<Ask>): void {
    for (const ask of asks) {
      this.#forgetAsk(ask);
      ask.resolve(undefined);
    }
  }

  #forgetAsk(ask: Ask): void {
    this.#asks.delete(ask);
    if (ask.counted) this.#counting--;
  }

  /** Has what nobody gets go back in time. */
  #restSoon(): void {
    if (this.#rest !== undefined) return;
    const due = this.#ready[0]!.since + restTime - performance.now();
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      if (this.#isGone || this.#ready.length === 0) return;
      this.#schedule();
      this.#restSoon();
    }, Math.max(due, 1));
    unref(this.#rest);
  }

  #wait(isWaiting: boolean): void {
    if (isWaiting === this.#isWaiting) return;
    this.#isWaiting = isWaiting;
    this.#session.wait(isWaiting ? 1 : -1);
  }

  /** Keeps the process alive while someone waits. */
  #hold(): void {
    const isHeld = this.#claims.size > 0 && !this.#isGone;
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
    clearTimeout(this.#rest);
    for (const loans of [this.#accepted, this.#released, this.#ready, this.#lent]) {
      this.#session.forget(loans);
    }
    this.#wait(false);
    this.#hold();
    this.#session.detach(this);
    this.#closed?.();
  }

  #rejectAll(error: Error): void {
    const offers = [...this.#offers];
    this.#offers.clear();
    this.#stats.outstanding -= offers.length;
    for (const offer of offers) offer.reject(error);
    for (let claim = this.#claims.shift(); claim !== undefined; claim = this.#claims.shift()) {
      if (claim.counted) this.#counting--;
      claim.reject(error);
    }
    for (const ask of this.#asks) {
      this.#forgetAsk(ask);
      ask.reject(error);
    }
    this.#hold();
  }

  #closedError(): ChannelClosedError {
    return new ChannelClosedError(`channel ${this.#name} was deleted`, { reason: "delete" });
  }
}
