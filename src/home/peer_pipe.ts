import { setOptionalTimeout, unref } from "../shared/timers.ts";
import { highWater, type Pipe } from "../transports/home/pipes/pipe.ts";
import type { HomeLimits } from "./home_limits.ts";

/** Why a peer is not read: it does not read itself, its requests are too many, or it is not welcomed yet. */
export type PauseReason = "slow" | "busy" | "early";

/**
 * The pipe of a peer, with the limits for what waits to be sent and for the requests that are not answered.
 *
 * Invariants: the pipe is paused while there is a reason. While the peer is slow, a timer runs, which ends the connection
 * if the peer reads nothing.
 */
export class PeerPipe {
  readonly #pipe: Pipe;
  readonly #limits: Required<HomeLimits>;
  readonly #onSlow: (isSlow: boolean) => void;
  readonly #reasons = new Set<PauseReason>();
  /** The puts and the other requests that are not answered, and their bytes. */
  #puts = 0;
  #others = 0;
  #bytes = 0;
  #isSlow = false;
  #stall: ReturnType<typeof setTimeout> | undefined;

  /** @param onSlow called when the peer becomes slow, and when it has read what waited for it */
  constructor(pipe: Pipe, limits: Required<HomeLimits>, onSlow: (isSlow: boolean) => void) {
    this.#pipe = pipe;
    this.#limits = limits;
    this.#onSlow = onSlow;
  }

  /** Whether more waits to be sent than the limit: the peer is sent nothing that can be left out. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  get buffered(): number {
    return this.#pipe.buffered;
  }

  send(header: string, body?: Uint8Array): void {
    this.#pipe.send(header, body);
    // A pipe tells that it has drained only if it was above `highWater`.
    if (this.#isSlow || this.#pipe.buffered <= Math.max(this.#limits.outgoing, highWater)) return;
    this.#isSlow = true;
    this.pause("slow");
    this.#watch();
    this.#onSlow(true);
  }

  /** The pipe has drained. */
  drained(): void {
    if (!this.#isSlow) return;
    this.#isSlow = false;
    clearTimeout(this.#stall);
    this.#onSlow(false);
    this.resume("slow");
  }

  pause(reason: PauseReason): void {
    if (this.#reasons.size === 0) this.#pipe.pause();
    this.#reasons.add(reason);
  }

  resume(reason: PauseReason): void {
    if (this.#reasons.delete(reason) && this.#reasons.size === 0) this.#pipe.resume();
  }

  /**
   * A request of this size in bytes has arrived. If there are too many, no more are read. A peer that has as many puts as it
   * may is read: its gets and its pings do not wait for an engine that takes no puts.
   */
  hold(size: number, isPut = false): void {
    if (isPut) this.#puts++;
    else this.#others++;
    this.#bytes += size;
    const { puts, incoming } = this.#limits;
    if (this.#puts > puts || this.#others >= puts || this.#bytes >= incoming) this.pause("busy");
  }

  /** A request is answered. */
  letGo(size: number, isPut = false): void {
    if (isPut) this.#puts--;
    else this.#others--;
    this.#bytes -= size;
    const { puts, incoming } = this.#limits;
    if (this.#puts > puts) return;
    if (this.#others <= puts / 2 && this.#bytes <= incoming / 2) this.resume("busy");
  }

  /** Sends what waits, then closes. */
  close(): void {
    this.#pipe.close();
  }

  abort(error: Error): void {
    this.#pipe.abort(error);
  }

  /** The pipe is closed. */
  ended(): void {
    clearTimeout(this.#stall);
  }

  /** Ends the connection if the peer reads nothing for a time. */
  #watch(): void {
    const before = this.#pipe.buffered;
    this.#stall = setOptionalTimeout(() => {
      if (this.#pipe.buffered < before) return this.#watch();
      const { stall } = this.#limits;
      this.abort(new Error(`the peer has read nothing for ${stall} ms; it is disconnected`));
    }, this.#limits.stall);
    if (this.#stall !== undefined) unref(this.#stall);
  }
}
