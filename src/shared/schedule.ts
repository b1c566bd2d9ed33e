import { Heap, type Placed } from "./heap.ts";
import { now, Timer } from "./timers.ts";

/** Something that is to be done at a time. */
export interface ScheduledTask extends Placed {
  /** As {@linkcode now} counts. */
  readonly at: number;
}

/**
 * What is to be done at some time, each at its own. Adding and removing take O(log n) steps.
 *
 * Invariant: one timer is set where anything is to be done, no later than the first, and none otherwise.
 */
export class Schedule {
  readonly #entries = new Heap<Entry>(precedes);
  readonly #isAwaited: () => boolean;
  #count = 0;
  #timer: { readonly at: number; readonly isAwaited: boolean; readonly alarm: Timer } | undefined;

  /** @param isAwaited whether someone waits for what will be done, so that the process must not end before */
  constructor(isAwaited: () => boolean) {
    this.#isAwaited = isAwaited;
  }

  /** Has `act` done at a time; of two that are due at once, the first that was added comes first. */
  add(at: number, act: () => void): ScheduledTask {
    const entry = { at, act, order: this.#count++, place: -1 };
    this.#entries.push(entry);
    this.update();
    return entry;
  }

  /** Has it not be done. */
  remove(appointment: ScheduledTask): void {
    if (this.#entries.remove(appointment as Entry)) this.update();
  }

  clear(): void {
    this.#entries.clear();
    this.update();
  }

  /** Does what is due, without waiting for the timer. */
  ring(time?: number): void {
    if (this.#entries.size === 0) return;
    time ??= now();
    for (let first; (first = this.#entries.peek()) !== undefined && first.at <= time;) {
      this.#entries.shift();
      first.act();
    }
    this.update();
  }

  /** To be called when it may have changed whether someone waits. */
  update(): void {
    const first = this.#entries.peek();
    if (first === undefined) return this.#stop();
    const timer = this.#timer;
    const isAwaited = this.#isAwaited();
    if (timer !== undefined && timer.at <= first.at && timer.isAwaited === isAwaited) return;
    this.#stop();
    const { at } = first;
    const alarm = new Timer(at, () => {
      this.#timer = undefined;
      this.ring(Math.max(at, now()));
    }, isAwaited);
    this.#timer = { at, isAwaited, alarm };
  }

  #stop(): void {
    this.#timer?.alarm.stop();
    this.#timer = undefined;
  }
}

interface Entry extends ScheduledTask {
  readonly order: number;
  act(): void;
}

function precedes(a: Entry, b: Entry): boolean {
  return a.at < b.at || a.at === b.at && a.order < b.order;
}
