import { Heap, type Placed } from "./heap.ts";
import { isRequestBound } from "./request_bound.ts";
import { now, Timer } from "./timers.ts";

/** A task in a {@linkcode Schedule}. */
export interface ScheduledTask extends Placed {
  /** When it is due: a time of {@linkcode now}. */
  readonly at: number;
}

/**
 * Tasks that run once, each at its own time. Adding and removing a task takes O(log n) steps.
 *
 * Invariant: while there are tasks, one timer is set, and it fires no later than the first task is due. Without tasks
 * no timer is set. On workerd, where a timer ends with its request, each update sets one more for its own request.
 */
export class Schedule {
  readonly #tasks = new Heap<Task>(precedes);
  readonly #keepsAlive: () => boolean;
  #added = 0;
  #timer: { readonly at: number; readonly keepsAlive: boolean; readonly timer: Timer } | undefined;

  /** @param keepsAlive whether the process stays alive until the tasks have run */
  constructor(keepsAlive: () => boolean) {
    this.#keepsAlive = keepsAlive;
  }

  /** Adds a task. Tasks that are due at one time run in the order in which they were added. */
  add(at: number, run: () => void): ScheduledTask {
    const task = { at, run, order: this.#added++, place: -1 };
    this.#tasks.push(task);
    this.update();
    return task;
  }

  remove(task: ScheduledTask): void {
    if (this.#tasks.remove(task as Task)) this.update();
  }

  clear(): void {
    this.#tasks.clear();
    this.update();
  }

  /** Runs the tasks that are due, without waiting for the timer. */
  runDue(time?: number): void {
    if (this.#tasks.size === 0) return;
    time ??= now();
    for (let first; (first = this.#tasks.peek()) !== undefined && first.at <= time;) {
      this.#tasks.shift();
      first.run();
    }
    this.update();
  }

  /** Sets the timer anew where that is needed. Must be called when the answer of `keepsAlive` may have changed. */
  update(): void {
    const first = this.#tasks.peek();
    if (first === undefined) return this.#stop();
    const set = this.#timer;
    const keepsAlive = this.#keepsAlive();
    if (isRequestBound) this.#timer = undefined; // it stays set for its own request
    else if (set !== undefined && set.at <= first.at && set.keepsAlive === keepsAlive) return;
    else this.#stop();
    const { at } = first;
    const timer = new Timer(at, () => {
      if (this.#timer?.timer === timer) this.#timer = undefined;
      this.runDue(Math.max(at, now())); // a timer may fire a millisecond early
    }, { keepsAlive });
    this.#timer = { at, keepsAlive, timer };
  }

  #stop(): void {
    this.#timer?.timer.stop();
    this.#timer = undefined;
  }
}

interface Task extends ScheduledTask {
  /** How many tasks were added before it. */
  readonly order: number;
  run(): void;
}

function precedes(a: Task, b: Task): boolean {
  return a.at < b.at || a.at === b.at && a.order < b.order;
}
