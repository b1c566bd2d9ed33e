import type { AMQPChannel } from "@cloudamqp/amqp-client";

/**
 * The messages that one AMQP channel has on loan, by delivery tag; it settles them with few frames.
 * RabbitMQ numbers the deliveries of a channel 1, 2, 3 …, and `multiple` settles all up to a tag.
 *
 * Invariants: every tag below `#oldest` is settled at the broker; so is every tag in `#settled`. A
 * tag that somebody still has on loan is never covered by `multiple`.
 */
export class Ledger {
  readonly #channel: AMQPChannel;
  readonly #atEndOfTurn: (work: () => void) => void;
  #oldest = 1;
  readonly #settled = new Set<number>();
  #accepted: number[] = [];
  readonly #released = new Map<number, string>();
  #scheduled = false;
  /** Whether anything was released since this was last asked. */
  #hasReleased = false;

  /** @param atEndOfTurn runs what is to be sent with all else of this turn of the event loop */
  constructor(channel: AMQPChannel, atEndOfTurn: (work: () => void) => void) {
    this.#channel = channel;
    this.#atEndOfTurn = atEndOfTurn;
  }

  /** @param batch how many accepted messages are worth a frame at once; fewer go at the end of the turn */
  accept(tag: number, batch: number): void {
    this.#accepted.push(tag);
    if (this.#accepted.length >= batch) this.flush();
    else this.#flushSoon();
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

  flush(): void {
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
      this.flush();
    });
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

/** A lost connection is noticed elsewhere; the broker delivers again what was on loan. */
function ignore(): void {}
