import { clearInterval, setImmediate, setInterval, setTimeout } from "node:timers";

/** Asks a server in intervals whether it lives. */
export class RedisHeartbeat {
  readonly #ping: () => Promise<void>;
  readonly #timer: ReturnType<typeof setInterval>;
  #asked = 0;
  #answered = 0;
  #isOver = false;

  /**
   * @param interval milliseconds
   * @param ping resolves when the server has answered; rejects if the connection is lost
   * @param missing called when the server has not answered within an interval
   */
  constructor(interval: number, ping: () => Promise<void>, missing: () => void) {
    this.#ping = ping;
    this.#timer = setInterval(() => {
      if (this.#answered < this.#asked) this.#readFirst(this.#asked, readTurns, missing);
      else this.#ask();
    }, interval);
    this.#timer.unref();
  }

  #ask(): void {
    const question = ++this.#asked;
    this.#ping().then(() => this.#answered = question, () => {}); // the connection is lost
  }

  /**
   * Waits some turns for the answer: after a time in which the process computed or was stopped, timers fire before what has
   * arrived meanwhile is read.
   */
  #readFirst(question: number, turns: number, missing: () => void): void {
    if (this.#answered >= question || this.#isOver) return;
    if (turns === 0) return missing();
    setTimeout(() => setImmediate(() => this.#readFirst(question, turns - 1, missing)), 20).unref();
  }

  end(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
  }
}

/** How often the event loop turns before an answer that is late counts as missing. */
const readTurns = 3;
