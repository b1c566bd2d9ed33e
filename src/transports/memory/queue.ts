import { Fifo } from "../../shared/fifo.ts";
import { Heap, type Placed } from "../../shared/heap.ts";

/** What waits in a queue. */
export interface Waiting extends Placed {
  /** The higher, the earlier it leaves. */
  readonly priority: number;
  /** How many came before it. Of one priority, the lowest leaves first. */
  readonly position: number;
  /** Whether it has left the queue before, and come back. */
  readonly redelivered: boolean;
}

/**
 * The messages of a channel, in the order in which they leave. Every operation takes O(log n) steps of
 * those messages that have a priority or have come back, and constant time where there are none.
 *
 * Invariant: what is plain has priority 0 and has not left yet; it is in the order of its coming. So what
 * has come back is older than all that is plain.
 */
export class MemoryQueue<T extends Waiting> {
  readonly #plain: Fifo<T> = new Fifo();
  readonly #ranked: Heap<T> = new Heap<T>(precedes);

  get size(): number {
    return this.#plain.size + this.#ranked.size;
  }

  push(message: T): void {
    if (message.priority === 0 && !message.redelivered) this.#plain.push(message);
    else this.#ranked.push(message);
  }

  shift(): T | undefined {
    const first = this.#ranked.peek();
    if (first === undefined || first.priority < 0 && this.#plain.size > 0) {
      return this.#plain.shift();
    }
    return this.#ranked.shift();
  }

  /** Whether `message` waited, and no longer does. */
  remove(message: T): boolean {
    return this.#ranked.remove(message) || this.#plain.remove(message);
  }

  clear(): void {
    this.#ranked.clear();
    this.#plain.takeAll();
  }
}

function precedes(a: Waiting, b: Waiting): boolean {
  return a.priority > b.priority || a.priority === b.priority && a.position < b.position;
}
