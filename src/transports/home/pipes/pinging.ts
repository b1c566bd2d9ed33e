import { unref } from "../../../shared/timers.ts";
import { defaultHeartbeat, type Dial, type Pipe, type PipeObserver } from "./pipe.ts";

/**
 * Returns a dial whose pipes find out that the other end is gone. The WebSockets of the Web have no pings, so the peer
 * sends the word `PING` when nothing has arrived for a time.
 *
 * @param heartbeat milliseconds; 0 for no pings
 */
export function pinging(dial: Dial, heartbeat: number = defaultHeartbeat): Dial {
  if (heartbeat === 0) return dial;
  return async (observer, signal) => {
    const pings = new Pings(observer, heartbeat);
    const pipe = await dial(pings, signal);
    pings.begin(pipe);
    return pipe;
  };
}

/** Observes a pipe, and asks when the other end is silent. */
class Pings implements PipeObserver {
  readonly #observer: PipeObserver;
  readonly #heartbeat: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;
  /** Whether a frame has arrived since the last look. */
  #isHeard = true;
  #hasAsked = false;

  constructor(observer: PipeObserver, heartbeat: number) {
    this.#observer = observer;
    this.#heartbeat = heartbeat;
  }

  begin(pipe: Pipe): void {
    if (this.#isClosed) return;
    this.#timer = setInterval(() => this.#look(pipe), this.#heartbeat);
    unref(this.#timer);
  }

  received(frame: Uint8Array): void {
    this.#isHeard = true;
    if (!isPong(frame)) this.#observer.received(frame);
  }

  drained(): void {
    this.#observer.drained();
  }

  closed(error: Error | undefined): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#observer.closed(error);
  }

  #look(pipe: Pipe): void {
    if (this.#isHeard) {
      this.#isHeard = false;
      this.#hasAsked = false;
    } else if (this.#hasAsked) {
      pipe.abort(new Error(`the other end has not answered for ${this.#heartbeat / 1000} s`));
    } else {
      this.#hasAsked = true;
      pipe.send("PING");
    }
  }
}

function isPong(frame: Uint8Array): boolean {
  return frame.length === 4 && frame[0] === 0x50 && frame[1] === 0x4f && frame[2] === 0x4e;
}
