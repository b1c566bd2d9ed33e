import type { LinkObserver } from "../transport.ts";
import { plainBytes } from "./stored_message.ts";

/** The announcements on a channel, as an attachment finds them. */
export interface AnnouncedEvents {
  /** How many there were. */
  readonly count: number;
  /** The number of the last control event, and its bytes. */
  readonly control: number;
  readonly controlEvent: Uint8Array;
}

/** The announcements that a link knows of. The server numbers them, so the link can tell how many it has missed. */
export class RedisEvents {
  readonly #observer: LinkObserver;
  /** The number of the last one of which the link knows, when it was last attached or later. */
  #last = 0;
  /** The number of the last one of which it was notified before the answer to its attachment was passed on. */
  #early = 0;
  #isAttached = false;

  constructor(observer: LinkObserver) {
    this.#observer = observer;
  }

  /** Another link has announced an event. */
  notified(number: number, event: Uint8Array): void {
    if (this.#isAttached) this.announced(number);
    else this.#early = number;
    this.#observer.announced(plainBytes(event));
  }

  /** This link has announced an event. */
  announced(number: number): void {
    this.#last = Math.max(this.#last, number);
  }

  /**
   * The link is attached. If it was before, the observer is told of what was announced meanwhile.
   *
   * @param own how many of these events the link has announced itself, without an answer
   */
  attached({ count, control, controlEvent }: AnnouncedEvents, isAgain: boolean, own = 0): void {
    const hasControl = isAgain && control > this.#last;
    const missed = isAgain ? count - this.#last - own - (hasControl ? 1 : 0) : 0;
    this.#last = Math.max(count, this.#early); // a replica that has become the primary may know of fewer
    this.#isAttached = true;
    if (missed > 0) this.#observer.missed(missed);
    if (hasControl) this.#observer.announced(plainBytes(controlEvent));
  }

  /** The link has lost its connection. */
  lost(): void {
    this.#isAttached = false;
    this.#early = 0;
  }
}
