import { awaitRelease, holdLock } from "./life_lock.ts";
import type { FrameLimit } from "./message_pipe.ts";
import type { Pipe, PipeObserver } from "./pipe.ts";
import { type Port, PortPipe } from "./port_pipe.ts";

/**
 * One end of a port, which carries one pipe after the other. The peer's end begins each of them with its first frame.
 *
 * Invariant: a message that arrives belongs to the open pipe, or else to the one that was accepted and is not open yet.
 */
export class PortEnd {
  readonly #port: Port;
  readonly #accept:
    | ((open: (observer: PipeObserver, limit?: FrameLimit) => Pipe) => void)
    | undefined;
  #pipe: PortPipe | undefined;
  /** The messages for a pipe that was accepted and is not open yet. */
  #early: unknown[] | undefined;
  #isLost = false;
  /** Aborted when the port is closed. */
  readonly #end = new AbortController();
  /** Resolves a wait for the end of the pipe. */
  #ended: (() => void) | undefined;

  /** @param accept takes the pipes that the other end begins; absent at the peer's end */
  constructor(
    port: Port,
    accept?: (open: (observer: PipeObserver, limit?: FrameLimit) => Pipe) => void,
  ) {
    this.#port = port;
    this.#accept = accept;
    port.addEventListener("message", ({ data }) => this.#arrived(data));
    port.addEventListener("close", () => this.#lose());
    port.start();
    if (accept === undefined) holdLock((message) => port.postMessage(message));
  }

  /** Whether the port is closed, as far as the runtime tells. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Opens a pipe. The one before must have ended. */
  open(observer: PipeObserver, limit?: FrameLimit): PortPipe {
    const pipe: PortPipe = new PortPipe(
      this.#port,
      () => {
        if (this.#pipe !== pipe) return;
        this.#pipe = undefined;
        this.#ended?.();
      },
      observer,
      limit,
    );
    this.#pipe = pipe;
    const early = this.#early ?? [];
    this.#early = undefined;
    if (early.length > 0) queueMicrotask(() => early.forEach((data) => pipe.message(data)));
    return pipe;
  }

  /** Resolves when no pipe is open. */
  async rests(): Promise<void> {
    if (this.#pipe !== undefined) await new Promise<void>((resolve) => this.#ended = resolve);
  }

  /** Closes the port. */
  close(): void {
    this.#end.abort();
    this.#port.close();
  }

  #arrived(data: unknown): void {
    if (awaitRelease(data, () => this.#lose(), this.#end.signal)) return;
    if (this.#pipe !== undefined) return this.#pipe.message(data);
    if (this.#early !== undefined) return void this.#early.push(data);
    if (this.#accept === undefined || data === null) return;
    this.#early = [data];
    this.#accept((observer, limit) => this.open(observer, limit));
  }

  #lose(): void {
    this.#isLost = true;
    this.#end.abort();
    this.#pipe?.lost();
  }
}
