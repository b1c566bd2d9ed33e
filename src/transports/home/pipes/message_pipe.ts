import { Fifo } from "../../../shared/fifo.ts";
import { unref } from "../../../shared/timers.ts";
import { frameBytes } from "../protocol/frame.ts";
import { highWater, type Pipe, type PipeObserver } from "./pipe.ts";

/** What limits the frames that are read, such as a newcomer of a home. */
export interface FrameLimit {
  /** The size in bytes of the largest frame that may be read now. */
  readonly maxFrame: number;
}

/**
 * The base of pipes whose carrier takes whole messages: WebSockets and ports. A subclass sends messages and ends the
 * carrier, and calls `arrived`, `sank` and `ended`.
 */
export abstract class MessagePipe implements Pipe {
  readonly #observer: PipeObserver;
  readonly #limit: FrameLimit | undefined;
  /** The frames that arrived while the pipe was paused and the carrier could not be. */
  readonly #held: Fifo<Uint8Array> = new Fifo();
  /** The memory that they take. */
  #heldBytes = 0;
  #isPaused = false;
  #isAbove = false;
  #state: "open" | "closing" | "closed" = "open";
  /** Why this end has aborted the pipe. */
  #abortion: Error | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(observer: PipeObserver, limit?: FrameLimit) {
    this.#observer = observer;
    this.#limit = limit;
  }

  abstract readonly buffered: number;
  abstract ref(): void;
  abstract unref(): void;

  /** Gives a message to the carrier. Its bytes belong to the carrier from then on. */
  protected abstract transmit(message: Uint8Array<ArrayBuffer>): void;
  /** Ends the carrier after the messages that it was given. `ended` follows, or else `cut` is called. */
  protected abstract finish(): void;
  /** Ends the carrier at once. */
  protected abstract cut(): void;
  /** Has the carrier read nothing, or read on, if it can. */
  protected hold?(isPaused: boolean): void;
  /** Called when the observer has been given a frame of this size. */
  protected consumed?(bytes: number): void;
  /** Called when `buffered` has risen above `highWater`, and the carrier is to call `sank` when it has fallen. */
  protected abstract watch(): void;

  send(header: string, body?: Uint8Array): void {
    if (this.#state !== "open") return;
    this.transmit(frameBytes(header, body));
    if (this.#isAbove || this.buffered <= highWater) return;
    this.#isAbove = true;
    this.watch();
  }

  pause(): void {
    if (this.#isPaused || this.#state !== "open") return;
    this.#isPaused = true;
    this.hold?.(true);
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    // The observer may pause again or close the pipe.
    while (this.#held.size > 0 && !this.#isPaused && this.#state === "open") {
      const frame = this.#held.shift()!;
      this.#heldBytes -= frame.length + frameCost;
      this.#deliver(frame);
    }
    if (!this.#isPaused && this.#state === "open") this.hold?.(false);
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#closeTimer = setTimeout(() => {
      this.cut();
      this.ended(undefined);
    }, closeTimeout);
    unref(this.#closeTimer);
    this.#held.takeAll();
    this.finish();
    if (this.#isPaused) this.hold?.(false); // else it would not read that the other end closes, too
  }

  abort(error: Error): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#abortion ??= error;
    queueMicrotask(() => this.ended(error));
    this.cut();
  }

  protected get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** A frame has arrived. */
  protected arrived(frame: Uint8Array): void {
    if (this.#state !== "open") return;
    const most = this.#limit?.maxFrame ?? Infinity;
    if (frame.length > most) {
      return this.abort(
        new Error(`a frame has ${frame.length} bytes, at most ${most} are allowed`),
      );
    }
    if (!this.#isPaused && this.#held.size === 0) return this.#deliver(frame);
    this.#held.push(frame);
    this.#heldBytes += frame.length + frameCost;
    if (this.#heldBytes <= mostHeld) return;
    this.abort(new Error(`the other end sends faster than this one reads, ${mostHeld} bytes`));
  }

  #deliver(frame: Uint8Array): void {
    const { length } = frame; // the observer may transfer its buffer
    this.#observer.received(frame);
    this.consumed?.(length);
  }

  /** `buffered` has fallen below `highWater`. */
  protected sank(): void {
    if (!this.#isAbove || this.#state !== "open") return;
    this.#isAbove = false;
    this.#observer.drained();
  }

  /** The carrier has ended: by the other end, if there is no error. */
  protected ended(error: Error | undefined): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#closeTimer);
    this.#held.takeAll();
    this.#observer.closed(this.#abortion ?? error);
  }
}

/** The bytes that a paused pipe holds at most, if its carrier cannot be paused. */
const mostHeld = 1 << 26;

/** The bytes that a frame takes beside its content: an empty one is not free. */
const frameCost = 256;

/** Milliseconds for the end of the carrier after `close`. */
const closeTimeout = 1000;
