import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { clearTimeout, setTimeout } from "node:timers";

/** A party that accepts messages. */
export interface Acceptor {
  /** Reports whether it waits for more messages. */
  isWaiting(): boolean;
}

/**
 * Settles the messages that one AMQP channel has delivered, with few frames. RabbitMQ numbers the deliveries of an AMQP
 * channel 1, 2, 3 …, and a frame with the bit `multiple` settles all deliveries up to its tag.
 *
 * Acks leave at the end of the turn of the event loop. While the acceptor waits for more messages, acks wait for more
 * acks, for `longestWait` ms at most: if messages arrive a few at a time, a frame and a write for each few cost both
 * sides more than the messages do.
 *
 * Invariants: every delivery with a tag below `#oldest` is settled, and so is every delivery with a tag in `#settled`.
 * A frame with `multiple` never covers a delivery that is not settled.
 */
export class Acks {
  readonly #channel: AMQPChannel;
  readonly #atEndOfTurn: (work: () => void) => void;
  #oldest = 1;
  readonly #settled = new Set<number>();
  /** The accepted deliveries for which no ack was sent. */
  #accepted: number[] = [];
  /** The released deliveries for which no nack was sent, and their consumers. */
  readonly #released = new Map<number, string>();
  #isScheduled = false;
  /** Runs while acks wait for more acks. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastAcceptor: Acceptor | undefined;
  /** Whether a delivery was released since this was set to false. */
  hasReleased = false;

  /** @param atEndOfTurn calls a function whose frames leave together with all others of this turn */
  constructor(channel: AMQPChannel, atEndOfTurn: (work: () => void) => void) {
    this.#channel = channel;
    this.#atEndOfTurn = atEndOfTurn;
  }

  /**
   * Accepts a delivery.
   *
   * @param batch the number of accepted deliveries for which an ack is sent at once
   * @param acceptor absent: the ack leaves at the end of the turn
   */
  accept(tag: number, batch: number, acceptor?: Acceptor): void {
    this.#accepted.push(tag);
    this.#lastAcceptor = acceptor;
    if (this.#accepted.length < batch) this.#flushSoon();
    else this.#send();
  }

  /** Whether everything that was settled here has been sent. */
  get isFlushed(): boolean {
    return this.#accepted.length === 0 && this.#released.size === 0;
  }

  /**
   * Gives a delivery back to the queue.
   *
   * @param consumer the tag of the consumer that brought it; empty if it was asked for. A quorum queue handles what one
   * frame gives back consumer by consumer, and each request for one message counts as a consumer of its own; so one
   * frame has the deliveries of one consumer only.
   */
  release(tag: number, consumer: string): void {
    this.hasReleased = true;
    this.#released.set(tag, consumer);
    this.#flushSoon();
  }

  /** Sends everything that was settled here. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#send();
  }

  /** Sends everything, and lets the timer run: the next acks will need one. */
  #send(): void {
    const accepted = this.#accepted;
    const released = new Map(this.#released);
    this.#accepted = [];
    this.#released.clear();
    if (this.#channel.closed) return; // the broker has requeued all deliveries
    this.#settle(accepted, () => true, (tag, multiple) => this.#channel.basicAck(tag, multiple));
    const mayShare = (a: number, b: number) =>
      released.get(a) !== "" && released.get(a) === released.get(b);
    this.#settle(
      [...released.keys()],
      mayShare,
      (tag, multiple) => this.#channel.basicNack(tag, true, multiple),
    );
  }

  #flushSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#atEndOfTurn(() => {
      this.#isScheduled = false;
      if (this.#released.size === 0 && this.#lastAcceptor?.isWaiting()) this.#flushLater();
      else this.#send();
    });
  }

  /** The timer keeps the process alive, so that no accepted message is delivered again. */
  #flushLater(): void {
    this.#timer ??= setTimeout(() => this.flush(), longestWait);
  }

  /** @param mayShare whether two deliveries with consecutive tags may be settled by one frame */
  #settle(
    tags: number[],
    mayShare: (tag: number, next: number) => boolean,
    send: (tag: number, multiple: boolean) => Promise<void>,
  ): void {
    tags.sort((a, b) => a - b);
    let i = 0;
    let first = 0;
    for (; i < tags.length && tags[i] === this.#oldest; i++) {
      const last = this.#oldest++;
      while (this.#settled.delete(this.#oldest)) this.#oldest++;
      const next = tags[i + 1];
      if (next === this.#oldest && mayShare(last, next)) continue;
      send(last, i > first).catch(ignore);
      first = i + 1;
    }
    for (; i < tags.length; i++) {
      this.#settled.add(tags[i]!);
      send(tags[i]!, false).catch(ignore);
    }
  }
}

/** Milliseconds for which an ack waits for more acks. */
const longestWait = 2;

/** If the connection is lost, others notice it, and the broker delivers the messages again. */
function ignore(): void {}
