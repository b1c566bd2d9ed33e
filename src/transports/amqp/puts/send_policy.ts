import { clearTimeout, setTimeout } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";
import type { PendingPublish } from "../connection/pending_publish.ts";

/** The pending publishes of an outbox, as a policy sees them. */
export interface SendQueue {
  isEmpty(): boolean;
  /** Returns the number of publishes that were sent on this connection and not answered. */
  inFlight(): number;
  /** Sends a publish on the connection. */
  send(publish: PendingPublish): void;
  /** Sends all, in order. */
  sendAll(): void;
  /** Returns the publish that a bounded channel gets next; undefined if none waits. */
  next(): PendingPublish | undefined;
  /** Rejects the publishes that are not in flight, except released values. */
  refuseWaiting(): void;
}

/**
 * Decides when the pending publishes of a connected channel are sent:
 *
 * | Policy      | Channel                       | Sends                                             |
 * | ----------- | ----------------------------- | ------------------------------------------------- |
 * | `Unbounded` | without a capacity            | each publish at once                              |
 * | `Bounded`   | with a capacity               | one publish at a time; after a refusal, a pause   |
 * | `Draining`  | closed, and not emptied yet   | as before, but rejects what would wait for room   |
 *
 * The methods that end with a policy return the policy that applies from then on.
 */
export interface SendPolicy {
  readonly isBounded: boolean;
  /** Whether the broker's last answer was that the queue is full. */
  readonly isFull: boolean;
  /** A connection is open. */
  open(): void;
  /** The connection is lost, or nothing is pending. */
  reset(): void;
  /** A publish may be sent: it was added, or its pause after a refusal is over. */
  ready(publish: PendingPublish): void;
  /** The broker has confirmed a publish. */
  confirmed(): void;
  /** A publish has left in another way. */
  removed(): void;
  /** A message has left the broker's queue. */
  onRoom(): void;
  /** The broker's queue is full; the channel is bounded. */
  onFull(): void;
  /** The channel has a capacity. */
  bound(): SendPolicy;
  /** The channel is closed, and takes no more puts. */
  drain(): SendPolicy;
}

/** Sends each publish at once. */
export class Unbounded implements SendPolicy {
  readonly #queue: SendQueue;
  readonly isBounded = false;
  readonly isFull = false;

  constructor(queue: SendQueue) {
    this.#queue = queue;
  }

  open(): void {
    this.#queue.sendAll();
  }

  ready(publish: PendingPublish): void {
    this.#queue.send(publish);
  }

  bound(): SendPolicy {
    return new Bounded(this.#queue);
  }

  drain(): SendPolicy {
    return new Draining(this.#queue, this);
  }

  onFull(): void {}
  reset(): void {}
  confirmed(): void {}
  removed(): void {}
  onRoom(): void {}
}

/**
 * Sends one publish at a time, because RabbitMQ may refuse one (basic.nack) and accept the next, which breaks the
 * order.
 *
 * A publish that a full queue has refused is sent again after a pause, which grows to a quarter of a second, and at
 * once when this process takes a message from the queue.
 *
 * Invariants: at most one publish is in flight, unless several were when the channel turned out to be bounded. While
 * the pause runs, nothing is sent.
 */
class Bounded implements SendPolicy {
  readonly #queue: SendQueue;
  readonly isBounded = true;
  /** The number of refusals in a row. */
  #refusals = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(queue: SendQueue) {
    this.#queue = queue;
  }

  get isFull(): boolean {
    return this.#refusals > 0;
  }

  open(): void {
    this.#sendNext();
  }

  reset(): void {
    this.#endPause();
    this.#refusals = 0;
  }

  ready(): void {
    if (this.#pause === undefined) this.#sendNext();
  }

  confirmed(): void {
    this.#refusals = 0;
    this.#sendNext();
  }

  removed(): void {
    if (this.#queue.isEmpty()) this.reset();
    else this.ready();
  }

  onRoom(): void {
    if (this.#pause === undefined) return;
    this.#refusals = 1;
    this.#sendNext();
  }

  onFull(): void {
    if (this.#queue.isEmpty()) return this.reset(); // no later answer would end the state
    if (this.#pause !== undefined) return;
    this.#pause = setTimeout(() => this.#sendNext(), backOff(this.#refusals++, 4, 250));
  }

  bound(): SendPolicy {
    return this;
  }

  drain(): SendPolicy {
    return new Draining(this.#queue, this);
  }

  #sendNext(): void {
    this.#endPause();
    if (this.#queue.inFlight() > 0) return;
    const next = this.#queue.next();
    if (next === undefined) this.#refusals = 0;
    else this.#queue.send(next);
  }

  #endPause(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }
}

/**
 * Sends as the policy before did, with one difference: a full queue has no room for new values any more, so the puts
 * that wait for room are rejected. Released values still wait; they have a place in the channel.
 */
class Draining implements SendPolicy {
  readonly #queue: SendQueue;
  #policy: SendPolicy;

  constructor(queue: SendQueue, policy: SendPolicy) {
    this.#queue = queue;
    this.#policy = policy;
    if (policy.isFull) queue.refuseWaiting();
  }

  get isBounded(): boolean {
    return this.#policy.isBounded;
  }

  get isFull(): boolean {
    return this.#policy.isFull;
  }

  onFull(): void {
    this.#queue.refuseWaiting();
    this.#policy.onFull();
  }

  bound(): SendPolicy {
    this.#policy = this.#policy.bound();
    return this;
  }

  drain(): SendPolicy {
    if (this.isFull) this.#queue.refuseWaiting();
    return this;
  }

  open(): void {
    this.#policy.open();
  }

  reset(): void {
    this.#policy.reset();
  }

  ready(publish: PendingPublish): void {
    this.#policy.ready(publish);
  }

  confirmed(): void {
    this.#policy.confirmed();
  }

  removed(): void {
    this.#policy.removed();
  }

  onRoom(): void {
    this.#policy.onRoom();
  }
}
