import type { RoomWaiter } from "../../transport.ts";
import type { Claimants } from "./claims.ts";
import type { Ledger } from "./settlements.ts";
import type { SqliteLoan } from "./loan.ts";
import type { Outbox } from "./put_batch.ts";
import type { Pace } from "./read_ahead_size.ts";
import type { Plan } from "./plan.ts";
import type { Session } from "../session/session.ts";
import type { Shelf } from "./read_ahead.ts";
import type { ChannelState } from "../file/store.ts";
import { mostBytes, mostMessages } from "../file/writer.ts";

/** What a link has that is not in the file. */
export interface Stock {
  readonly outbox: Outbox;
  readonly claimants: Claimants;
  readonly shelf: Shelf;
  readonly ledger: Ledger;
  readonly roomWaiters: ReadonlySet<RoomWaiter>;
  readonly pace: Pace;
}

/** What a link takes and puts in a transaction; it changes the file and the plan, and no memory beside. */
export class Exchange {
  readonly #channel: number;
  readonly #session: Session;
  readonly #outbox: Outbox;
  readonly #claimants: Claimants;
  readonly #shelf: Shelf;
  readonly #ledger: Ledger;
  readonly #pace: Pace;
  readonly #roomWaiters: ReadonlySet<RoomWaiter>;

  constructor(channel: number, session: Session, stock: Stock) {
    this.#channel = channel;
    this.#session = session;
    this.#outbox = stock.outbox;
    this.#claimants = stock.claimants;
    this.#shelf = stock.shelf;
    this.#ledger = stock.ledger;
    this.#pace = stock.pace;
    this.#roomWaiters = stock.roomWaiters;
  }

  /** Takes and puts. */
  make(plan: Plan, state: ChannelState, accepted: number): void {
    const { store } = this.#session;
    if (plan.isWaiting && this.#claimants.size === 0) this.waitNoMore(plan);
    this.#keepLent(plan);
    this.#return(plan);
    if (this.#ledger.hasReleased || plan.returned.length > 0) store.serve(this.#channel);
    this.#fillEarly(plan);
    if (!plan.isClosed) this.#putOffers(plan, state, accepted);
    plan.isMeeting = state.capacity === 0 && store.putters.areWaiting(this.#channel);
    this.#fill(plan);
    if (state.capacity === 0 && plan.isWaiting) store.putters.wake(this.#channel, 1);
  }

  /** Says in the file what is being tried. */
  #keepLent(plan: Plan): void {
    for (const loan of this.#ledger.lent) {
      this.#session.store.keep(loan.id, loan.attempts);
      plan.kept.push(loan);
    }
  }

  /** Gives back what nobody has got in time, or what must not be got before what was released. */
  #return(plan: Plan): void {
    if (this.#ledger.hasReleased) plan.returned = [...this.#shelf];
    else if (this.#claimants.size === 0) plan.returned = this.#shelf.overdue;
    for (const loan of plan.returned) this.#giveBack(loan, false);
    if (plan.returned.length === 0) plan.shelved = this.#shelf.size;
  }

  /** Serves who asked before something was put. */
  #fillEarly(plan: Plan): void {
    const { early, waiting, isCounting } = this.#claimants;
    const need = waiting + early.length - plan.shelved;
    if (early.length === 0 || need <= 0) return;
    plan.rows = this.#session.store.take(this.#channel, need, isCounting);
    const lacking = Math.min(need - plan.rows.length, early.length);
    plan.refused = early.slice(early.length - lacking);
  }

  #putOffers(plan: Plan, { capacity, size }: ChannelState, accepted: number): void {
    const { store } = this.#session;
    plan.offers = this.#outbox.batch();
    const isAll = plan.offers.length === this.#outbox.size;
    if (capacity !== null) this.#fit(plan, capacity, size - accepted);
    plan.isClosed = plan.isDraining && (isAll || plan.isFull);
    if (plan.isFull && !plan.isClosed) store.putters.join(this.#channel);
    else if (plan.wasFull) store.putters.leave(this.#channel);
    if (plan.offers.length > 0) {
      store.put(this.#channel, plan.offers.map(({ message }) => message));
      if (capacity !== null) store.putters.resize(this.#channel, plan.offers.length);
    }
    if (plan.isClosed) store.drain(this.#channel);
  }

  /** Leaves in the outbox what the channel has no room for. */
  #fit(plan: Plan, capacity: number, size: number): void {
    const { store } = this.#session;
    if (capacity === 0) {
      plan.undelayable = plan.offers.filter(({ message }) => message.delay !== undefined);
      plan.offers = plan.offers.filter(({ message }) => message.delay === undefined);
    }
    // What is here already is for those who wait here; in the file they count as one.
    const others = capacity > 0
      ? capacity - size
      : store.putters.takers(this.#channel) - (plan.isWaiting ? 1 : 0) - plan.shelved -
        plan.rows.length;
    const polling = this.#claimants.polling - plan.refused.length;
    const room = (group?: object) =>
      others + (capacity > 0 ? 0 : this.#claimants.waitingBut(group) + polling);
    const late = plan.offers.splice(Math.max(room(), 0));
    plan.impatient = late.filter(({ full }) => full !== undefined);
    plan.roomy = [...this.#roomWaiters].filter(({ group }) => room(group) > plan.offers.length);
    plan.isFull = late.length > plan.impatient.length ||
      plan.roomy.length < this.#roomWaiters.size;
  }

  /** Takes messages for those who want some, and joins the waiters where there are too few. */
  #fill(plan: Plan): void {
    const { store } = this.#session;
    const { waiting, isCounting } = this.#claimants;
    const polling = this.#claimants.polling - plan.refused.length;
    if (isCounting && plan.shelved > 0) this.#keepReady(plan, waiting + polling);
    this.#noteGiven(plan);
    const here = plan.shelved + plan.given.length + plan.rows.length;
    const lacking = waiting + polling - here;
    const need = Math.min(lacking, mostMessages, this.#pace.fitting(mostBytes));
    let taken = 0;
    if (need > 0) {
      const ahead = isCounting ? 0 : this.#pace.next();
      const rows = store.take(this.#channel, need + ahead, isCounting);
      taken = rows.length;
      plan.rows.push(...rows);
      plan.isMore = taken >= need && lacking > need;
    }
    const mustWait = taken < need && (plan.isMeeting || taken < lacking - polling);
    if (mustWait === plan.isWaiting) return;
    if (!mustWait) return this.waitNoMore(plan);
    store.wait(this.#channel);
    plan.isWaiting = true;
  }

  /** Says in the file that the first on the shelf are about to be tried. */
  #keepReady(plan: Plan, count: number): void {
    for (const loan of [...this.#shelf].slice(0, count)) {
      if (loan.isKept) continue;
      this.#session.store.keep(loan.id, loan.lend(true).attempts);
      plan.kept.push(loan);
    }
  }

  /** What this session has been given in this transaction precedes all that waits. */
  #noteGiven(plan: Plan): void {
    if (!plan.isWaiting || !this.#session.store.isWoken) return;
    const back = new Set([...this.#ledger.released, ...plan.returned].map(({ id }) => id));
    plan.given = this.#session.given(back).filter(({ channel }) => channel === this.#channel);
    if (plan.given.length > 0) plan.isWaiting = false;
  }

  waitNoMore(plan: Plan): void {
    this.#session.store.waitNoMore(this.#channel);
    plan.isWaiting = false;
  }

  #giveBack(loan: SqliteLoan, redelivered: boolean): void {
    this.#session.store.release(this.#channel, loan.id, loan.tried, redelivered);
  }
}
