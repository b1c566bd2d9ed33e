import { setOptionalTimeout } from "../shared/timers.ts";
import type { Link, Loan, RoomWaiter } from "../transports/transport.ts";

/**
 * The waiters for room at one link of an engine. The puts that wait for room are with their owners, and not in the
 * engine. So a taker that finds nothing claims for a moment: the waiters learn of the claim, and a put comes.
 */
export class Meeting {
  readonly #link: Link;
  /** The waiters, with those that the engine has for them. */
  readonly #waiters = new Map<RoomWaiter, RoomWaiter>();

  private constructor(link: Link) {
    this.#link = link;
  }

  /** Returns the one meeting of a link. */
  static at(link: Link): Meeting {
    let meeting = meetings.get(link);
    if (meeting === undefined) meetings.set(link, meeting = new Meeting(link));
    return meeting;
  }

  awaitRoom(waiter: RoomWaiter): void {
    const { group } = waiter;
    const inner: RoomWaiter = {
      ...group === undefined ? {} : { group },
      tryAgain: () => {
        this.#waiters.delete(waiter);
        waiter.tryAgain();
      },
    };
    this.#waiters.set(waiter, inner);
    this.#link.awaitRoom!(inner);
  }

  /** Withdraws a waiter, and reports whether it waited here. */
  withdraw(waiter: RoomWaiter): boolean {
    const inner = this.#waiters.get(waiter);
    return inner !== undefined && this.#waiters.delete(waiter) && this.#link.withdraw(inner);
  }

  /** Resolves with a message that is there, or that is put at once by one who waits for room; otherwise undefined. */
  async tryTake(counted: boolean): Promise<Loan | undefined> {
    // To the engine this, too, is a taker for a moment: it may tell the waiters of room before their puts can come.
    const hadWaiters = this.#waiters.size > 0;
    const loan = await this.#link.tryTake(counted);
    if (loan !== undefined || !hadWaiters && this.#waiters.size === 0) return loan;
    return await new Promise((resolve, reject) => {
      const claim = { counted, deliver: resolve, reject };
      this.#link.take(claim);
      setOptionalTimeout(() => {
        if (this.#link.withdraw(claim)) resolve(undefined);
      }, meetTime);
    });
  }
}

const meetings = new WeakMap<Link, Meeting>();

/** Milliseconds within which a peer that waits for room puts, unless it is stopped or far away. */
const meetTime = 50;
