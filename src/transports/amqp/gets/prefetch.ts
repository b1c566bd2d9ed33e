/** The window of the consumers that one AMQP channel has at the same time: their prefetch, taken together. */
export interface ConsumerWindow {
  /** How many unsettled messages the broker sends; 0 while there is no consumer. */
  size: number;
  /** How many of these messages are loans that their claimants hold. */
  held: number;
}

/**
 * Decides how many messages a process prefetches.
 *
 * A prefetched message may lie in this process for `linger` ms. So the window is as wide as the number of messages that
 * the process gets within that time: it starts at 1, and grows fourfold when the last claims were served quickly enough
 * for a window of four times the size.
 *
 * A loan that its claimant holds takes its place in the window until it is settled. If claims wait and held loans fill
 * the window, the consumers end, and the claims ask for each message. If the broker is far, so that asking takes long,
 * the window grows instead.
 *
 * The window does not grow for two kinds of claims. If a claim counts attempts, a prefetched message that went back
 * unseen would look like a message of a dead process. If the channel has a capacity, prefetched messages would not
 * count as messages of the channel.
 *
 * Invariant: while there are consumers, the target is the size of the window, or larger (the window is to grow), or 0
 * (the consumers are to end).
 */
export class Prefetch {
  /** The window of the current consumers; the next ones have another one. */
  window: ConsumerWindow = { size: 0, held: 0 };
  readonly #connection: { readonly roundTrip: number };
  readonly #isBounded: boolean;
  /** The size that the pace of the claims asks for. */
  #target = 0;
  /** The number of claims that were served since `#sampleStart`. */
  #sample = 0;
  #sampleStart = 0;
  /** Since when claims have waited without interruption. */
  #waitingSince = 0;
  #lastServed = 0;

  /**
   * @param connection has the shortest round trip so far, in milliseconds
   * @param isBounded whether the channel has a capacity
   */
  constructor(connection: { readonly roundTrip: number }, isBounded: boolean) {
    this.#connection = connection;
    this.#isBounded = isBounded;
  }

  /** Returns the size that the window should have, for this number of waiting claims; 0: no consumer. */
  sizeFor(claims: number, isCounted: boolean): number {
    const { size, held } = this.window;
    if (this.#target === 0 || claims === 0 || held < size || size === 0) return this.#target;
    if (!this.#isFar(isCounted) || held >= mostHeld) return 0;
    // A loop claims one message at a time: the number of claims alone would let the window grow too slowly.
    return Math.min(Math.max(held + claims, Math.min(2 * size, widest)), mostHeld);
  }

  /** The consumers now have a window of this size. */
  opened(size: number): void {
    this.window.size = size;
    this.#target = Math.max(this.#target, size);
  }

  /** The consumers have ended. */
  closed(): void {
    this.window = { size: 0, held: 0 };
    this.#target = 0;
    this.#sample = 0;
  }

  /** The first claim waits. */
  startedWaiting(now: number): void {
    this.#waitingSince = now;
  }

  /** A request for one message found one, and this number of claims still wait. If the broker is far, they prefetch. */
  found(claims: number, isCounted: boolean): void {
    if (!this.#isFar(isCounted)) return;
    this.#target = Math.max(this.#target, Math.min(claims, mostHeld));
  }

  /** Returns for how many milliseconds claims had waited for a message that arrived at this time. */
  waitFor(arrived: number): number {
    return arrived - Math.max(this.#waitingSince, this.#lastServed);
  }

  /** Counts a claim that was served at `now`, after `wait` ms. Reports whether the target has changed. */
  served(now: number, wait: number, isCounted: boolean): boolean {
    this.#lastServed = now;
    const { size } = this.window;
    if (isCounted) {
      if (size > 0) this.#target = 0;
      return size > 0;
    }
    if (this.#isBounded) return false;
    const { roundTrip } = this.#connection;
    // The time of a long round trip says nothing about the pace of the claims.
    if (roundTrip > far && wait < 1.5 * roundTrip) this.#sampleStart += wait;
    if (++this.#sample < Math.max(size, leastSample)) return false;
    const interval = (now - this.#sampleStart) / this.#sample;
    this.#sample = 0;
    this.#sampleStart = now;
    const wider = Math.min(Math.max(size, 1) * 4, widest);
    const isEnding = this.#target < size;
    if (isEnding || wider <= this.#target || interval * wider > linger) return false;
    this.#target = wider;
    return true;
  }

  /** Reports whether a round trip takes so long that a claim should not wait for one. */
  #isFar(isCounted: boolean): boolean {
    return !this.#isBounded && !isCounted && this.#connection.roundTrip > far;
  }
}

/**
 * Milliseconds after which an unclaimed message goes back, and unused consumers end. With a timer's delay and the way
 * back, this keeps the promise of 20 ms.
 */
export const linger = 15;

/**
 * Milliseconds of a round trip with which claims that ask for each message never reach the pace that widens a window.
 */
const far = linger / 4;

/** The least number of served claims whose pace is judged. */
const leastSample = 3;

/** The widest window for messages that nobody holds. */
const widest = 256;

/** The widest window if claimants hold loans. A prefetch has 16 bits. */
const mostHeld = 2 ** 15;
