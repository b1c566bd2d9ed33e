import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { clearTimeout, setTimeout } from "node:timers";

/** Who accepts messages. */
export interface Acceptor {
  /** Whether it waits for more of them. */
  isWaiting(): boolean;
}

/**
 * The messages that one AMQP channel has on loan, by delivery tag; it settles them with few frames.
 * RabbitMQ numbers the deliveries of a channel 1, 2, 3 …, and `multiple` settles all up to a tag.
 *
 * Acceptances leave at the end of the turn. While whoever accepts waits for more, they wait for each other,
 * for `patience` milliseconds at most: where messages come a few at a time, a frame and a write for each few
 * cost both sides more than the messages.
 *
 * Invariants: every tag below `#oldest` is settled at the broker; so is every tag in `#settled`. A
 * tag that somebody still has on loan is never covered by `multiple`.
 */
export class Acks {
  readonly #channel: AMQPChannel;
  readonly #atEndOfTurn: (work: () => void) => void;
  #oldest = 1;
  readonly #settled = new Set<number>();
  #accepted: number[] = [];
  readonly #released = new Map<number, string>();
  #scheduled = false;
  /** Runs while acceptances wait for others. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Who accepted last. */
  #acceptor: Acceptor | undefined;
  /** Whether anything was released since this was last asked. */
  #hasReleased = false;

  /** @param atEndOfTurn runs what is to be sent with all else of this turn of the event loop */
  constructor(channel: AMQPChannel, atEndOfTurn: (work: () => void) => void) {
    this.#channel = channel;
    this.#atEndOfTurn = atEndOfTurn;
  }

  /**
   * @param batch how many accepted messages are worth a frame at once
   * @param acceptor absent where fewer are not to wait for others
   */
  accept(tag: number, batch: number, acceptor?: Acceptor): void {
    this.#accepted.push(tag);
    this.#acceptor = acceptor;
    if (this.#accepted.length < batch) this.#flushSoon();
    else this.#send();
  }

  /** Whether all that was settled here has been sent. */
  get isFlushed(): boolean {
    return this.#accepted.length === 0 && this.#released.size === 0;
  }

  /** Whether anything was released here since the last call. */
  get hasReleased(): boolean {
    const hasReleased = this.#hasReleased;
    this.#hasReleased = false;
    return hasReleased;
  }

  /**
   * @param consumer which brought the message; empty where none did. What several have brought and is given back by one
   * frame, a quorum queue takes back consumer by consumer, and each request for one message counts as another.
   */
  release(tag: number, consumer: string): void {
    this.#hasReleased = true;
    this.#released.set(tag, consumer);
    this.#flushSoon();
  }

  /** Sends all that was settled here. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#send();
  }

  /** Lets the timer run: the next acceptances will need one again. */
  #send(): void {
    const accepted = this.#accepted;
    const released = new Map(this.#released);
    this.#accepted = [];
    this.#released.clear();
    if (this.#channel.closed) return; // the broker has taken back what was on loan
    this.#settle(accepted, () => true, (tag, multiple) => this.#channel.basicAck(tag, multiple));
    const isTogether = (a: number, b: number) =>
      released.get(a) !== "" && released.get(a) === released.get(b);
    this.#settle(
      [...released.keys()],
      isTogether,
      (tag, multiple) => this.#channel.basicNack(tag, true, multiple),
    );
  }

  #flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#atEndOfTurn(() => {
      this.#scheduled = false;
      if (this.#released.size === 0 && this.#acceptor?.isWaiting()) this.#flushLater();
      else this.#send();
    });
  }

  /** The timer keeps the process alive, for what was accepted is not to come again. */
  #flushLater(): void {
    this.#timer ??= setTimeout(() => this.flush(), patience);
  }

  /** @param isTogether whether two tags that follow each other may be settled by one frame */
  #settle(
    tags: number[],
    isTogether: (tag: number, next: number) => boolean,
    send: (tag: number, multiple: boolean) => Promise<void>,
  ): void {
    tags.sort((a, b) => a - b);
    let i = 0;
    let first = 0;
    for (; i < tags.length && tags[i] === this.#oldest; i++) {
      const last = this.#oldest++;
      while (this.#settled.delete(this.#oldest)) this.#oldest++;
      const next = tags[i + 1];
      if (next === this.#oldest && isTogether(last, next)) continue;
      send(last, i > first).catch(ignore);
      first = i + 1;
    }
    for (; i < tags.length; i++) {
      this.#settled.add(tags[i]!);
      send(tags[i]!, false).catch(ignore);
    }
  }
}

/** Milliseconds for which an acceptance waits for others. */
const patience = 2;

/** A lost connection is noticed elsewhere; the broker delivers again what was on loan. */
function ignore(): void {}
