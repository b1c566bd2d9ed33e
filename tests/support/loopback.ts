/** Two ends of a pipe in this process, for tests of both sides of the protocol without a network. */
import { setImmediate } from "node:timers";
import {
  type Dial,
  highWater,
  type Pipe,
  type PipeObserver,
} from "../../src/transports/home/pipes/pipe.ts";
import { frameBytes } from "../../src/transports/home/protocol/frame.ts";

/** One end. A frame arrives in a later turn of the event loop, as on every pipe. */
export class LoopbackPipe implements Pipe {
  /** The headers of the frames that were sent, for assertions. */
  readonly sent: string[] = [];
  /** Whether frames that are sent are lost, as on a line that is cut and says nothing. */
  isSwallowing = false;
  other!: LoopbackPipe;
  readonly #observer: () => PipeObserver;
  #inbox: Uint8Array[] = [];
  #size = 0;
  #isPaused = false;
  #isScheduled = false;
  #isAbove = false;
  /** Whether the other end has closed, and the rest is delivered. */
  #isEnding = false;
  isClosed = false;

  constructor(observer: () => PipeObserver) {
    this.#observer = observer;
  }

  get buffered(): number {
    return this.other.#size;
  }

  send(header: string, body?: Uint8Array): void {
    if (this.isClosed) return;
    this.sent.push(header);
    if (!this.isSwallowing) this.other.#accept(frameBytes(header, body));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#schedule();
  }

  close(): void {
    if (this.isClosed) return;
    this.#end(undefined);
    this.other.#isEnding = true;
    this.other.#schedule();
  }

  abort(error: Error): void {
    if (this.isClosed) return;
    this.#end(error);
    this.other.#isEnding = true;
    this.other.#schedule();
  }

  ref(): void {}
  unref(): void {}

  /** Cuts the line: both ends learn of it, and what is on its way is lost. */
  cut(error: Error = new Error("the line is cut")): void {
    this.#inbox = [];
    this.other.#inbox = [];
    this.#end(error);
    this.other.#end(error);
  }

  #accept(frame: Uint8Array): void {
    if (this.isClosed) return;
    this.#inbox.push(frame);
    this.#size += frame.length;
    if (this.#size > highWater) this.#isAbove = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (!this.isClosed && !this.#isPaused && this.#inbox.length > 0) {
      const frame = this.#inbox.shift()!;
      this.#size -= frame.length;
      this.#observer().received(frame);
    }
    if (this.#isAbove && this.#size <= highWater) {
      this.#isAbove = false;
      if (!this.other.isClosed) this.other.#observer().drained();
    }
    if (this.#isEnding && this.#inbox.length === 0) this.#end(undefined);
  }

  #end(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    setImmediate(() => this.#observer().closed(error));
  }
}

/** Returns the two ends of a pipe. */
export function pipePair(
  first: () => PipeObserver,
  second: () => PipeObserver,
): [LoopbackPipe, LoopbackPipe] {
  const pair: [LoopbackPipe, LoopbackPipe] = [new LoopbackPipe(first), new LoopbackPipe(second)];
  pair[0].other = pair[1];
  pair[1].other = pair[0];
  return pair;
}

/**
 * Returns a dial whose pipes end in this process.
 *
 * @param accept is given a function that opens the home's end, as the acceptor of a home is
 * @param dialed is given each pipe of the peer
 */
export function loopbackDial(
  accept: (open: (observer: PipeObserver) => Pipe) => void,
  dialed: (pipe: LoopbackPipe) => void = () => {},
): Dial {
  // deno-lint-ignore require-await -- so that an error of `accept` rejects
  return async (observer, signal) => {
    signal.throwIfAborted();
    let home: PipeObserver | undefined;
    const [peer, far] = pipePair(() => observer, () => home!);
    accept((homeObserver) => {
      home = homeObserver;
      return far;
    });
    dialed(peer);
    return peer;
  };
}
