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
  /** The numbers of the last one, and of the last control event. */
  #last = 0;
  #control = 0;

  constructor(observer: LinkObserver) {
    this.#observer = observer;
  }

  /** Another link has announced an event. */
  notified(number: number, event: Uint8Array): void {
    this.#last = Math.max(this.#last, number);
    this.#observer.announced(plainBytes(event));
  }

  /** This link has announced an event. */
  announced(number: number, isControl: boolean): void {
    this.#last = Math.max(this.#last, number);
    if (isControl) this.#control = Math.max(this.#control, number);
  }

  /** The link is attached. If it was before, the observer is told of what was announced meanwhile. */
  attached({ count, control, controlEvent }: AnnouncedEvents, isAgain: boolean): void {
    const hasControl = isAgain && control > this.#control;
    const missed = isAgain ? count - this.#last - (hasControl ? 1 : 0) : 0;
    this.#last = count;
    this.#control = control;
    if (missed > 0) this.#observer.missed(missed);
    if (hasControl) this.#observer.announced(plainBytes(controlEvent));
  }
}
