/**
 * How many messages a process may hold, by how fast it has been getting them: as many as it gets
 * within the time for which one may lie here.
 */
export class Prefetch {
  /** The consumer's prefetch; 0: no consumer, each message is asked for. */
  window = 0;
  #served = 0;
  #since = 0;

  /**
   * Counts a message that was got at `now`; returns the window to widen to, if it has come to that.
   *
   * @param travel milliseconds that were the network's alone, and say nothing of how fast messages are got
   */
  served(now: number, travel: number): number | undefined {
    this.#since += travel;
    if (++this.#served < Math.max(this.window, leastSample)) return undefined;
    const interval = (now - this.#since) / this.#served;
    this.#served = 0;
    this.#since = now;
    const wider = Math.min(Math.max(this.window, 1) * 4, widest);
    return wider > this.window && interval * wider <= linger ? wider : undefined;
  }

  reset(): void {
    this.window = 0;
    this.#served = 0;
  }
}

/**
 * Milliseconds for which a message lies here unclaimed, or a consumer stays that nobody needs. With a
 * timer's delay and the way back, it stays below the 20 ms that a channel promises.
 */
export const linger = 15;

/** Milliseconds of a round trip with which no pace would ever be seen that widens the window. */
export const far: number = linger / 4;

const leastSample = 3;
export const widest = 256;
