import { Fifo } from "../../shared/fifo.ts";
import { Heap, type Placed } from "../../shared/heap.ts";

/** A message in a queue. */
export interface QueuedMessage extends Placed {
  /** A message of higher priority leaves earlier. */
  readonly priority: number;
  /** How many messages were put before it. Of one priority, the message of the lowest position leaves first. */
  readonly position: number;
  /** Whether the message has left the queue before and was put back. */
  readonly redelivered: boolean;
}

/**
 * The waiting messages of a channel, in the order in which they leave.
 *
 * Invariant: a plain message has priority 0 and has not left before, so plain messages are in the order of their
 * positions. A redelivered message is older than every plain one.
 *
 * An operation takes constant time while all messages are plain, and O(log n) steps of the others.
 */
export class MemoryQueue<T extends QueuedMessage> {
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

  /** Removes a message, and reports whether it was in the queue. */
  remove(message: T): boolean {
    return this.#ranked.remove(message) || this.#plain.remove(message);
  }

  clear(): void {
    this.#ranked.clear();
    this.#plain.takeAll();
  }
}

function precedes(a: QueuedMessage, b: QueuedMessage): boolean {
  return a.priority > b.priority || a.priority === b.priority && a.position < b.position;
}
