import { type FrameLimit, MessagePipe } from "./message_pipe.ts";
import { highWater, type PipeObserver } from "./pipe.ts";

/**
 * A `MessagePort`, with the methods that those of Deno, Bun and Node have besides. It is not written with the type of the
 * DOM, which a program may not have.
 */
export interface Port {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: () => void): void;
  start(): void;
  close(): void;
  ref?(): void;
  unref?(): void;
}

/**
 * A pipe over a port. A port tells nobody how much is buffered, so each end tells the other how many bytes it has read:
 * a message that is a number. The end of the pipe is `null`, which each end sends once; the port stays open and can
 * carry another pipe. A message costs much more than a frame, so the frames of a turn are one message.
 *
 * Invariant: while `#outgoing` has a frame, a microtask is queued that sends it.
 */
export class PortPipe extends MessagePipe {
  readonly #port: Port;
  readonly #over: () => void;
  /** The frames of this turn. */
  #outgoing: Uint8Array<ArrayBuffer>[] = [];
  #sent = 0;
  #acknowledged = 0;
  #read = 0;
  #told = 0;
  #hasFinished = false;
  #isWatching = false;

  /** @param over called when both ends have closed the pipe, or the port is closed */
  constructor(port: Port, over: () => void, observer: PipeObserver, limit?: FrameLimit) {
    super(observer, limit);
    this.#port = port;
    this.#over = over;
  }

  get buffered(): number {
    return this.#sent - this.#acknowledged;
  }

  ref(): void {
    this.#port.ref?.();
  }

  unref(): void {
    this.#port.unref?.();
  }

  /** The port has a message for this pipe. */
  message(data: unknown): void {
    if (data === null) {
      this.finish();
      this.#over();
      this.ended(undefined);
    } else if (typeof data === "number") this.#acknowledge(data);
    else if (data instanceof Uint8Array) this.arrived(data);
    else if (Array.isArray(data)) { for (const frame of data) this.#frame(frame); }
    else this.#frame(data);
  }

  #frame(data: unknown): void {
    if (data instanceof Uint8Array) this.arrived(data);
    else if (data instanceof ArrayBuffer) this.arrived(new Uint8Array(data));
    else this.abort(new Error("the port has another message than a frame"));
  }

  /** The port is closed. */
  lost(): void {
    this.#over();
    this.ended(undefined);
  }

  protected override transmit(message: Uint8Array<ArrayBuffer>): void {
    this.#sent += message.length;
    this.#outgoing.push(message);
    if (this.#outgoing.length === 1) queueMicrotask(() => this.#flush());
  }

  /** Sends the frames of this turn. Short ones share a buffer, since each buffer of a message costs time. */
  #flush(): void {
    const frames = this.#outgoing;
    if (frames.length === 0) return;
    this.#outgoing = [];
    const buffers: ArrayBuffer[] = [];
    const own = frames.map((frame) => {
      if (frame.length < leastTransfer) return undefined;
      const whole = frame.length === frame.buffer.byteLength ? frame : frame.slice();
      buffers.push(whole.buffer);
      return whole;
    });
    let bytes = 0;
    for (const { length } of frames) if (length < leastTransfer) bytes += length;
    const slab = new Uint8Array(bytes);
    let end = 0;
    const sent = frames.map((frame, i) => {
      if (own[i] !== undefined) return own[i];
      slab.set(frame, end);
      return slab.subarray(end, end += frame.length);
    });
    if (bytes >= leastTransfer) buffers.push(slab.buffer);
    this.#port.postMessage(sent.length === 1 ? sent[0] : sent, buffers);
  }

  protected override finish(): void {
    if (this.#hasFinished) return;
    this.#flush();
    this.#hasFinished = true;
    this.#port.postMessage(null);
  }

  protected override cut(): void {
    this.finish();
  }

  protected override consumed(bytes: number): void {
    this.#read += bytes;
    if (this.#read - this.#told < highWater / 4) return;
    this.#told = this.#read;
    if (!this.#hasFinished) this.#port.postMessage(this.#read);
  }

  protected override watch(): void {
    this.#isWatching = true;
  }

  #acknowledge(total: number): void {
    if (!(total >= this.#acknowledged && total <= this.#sent)) {
      return this.abort(new Error("the port has a count of bytes that is none"));
    }
    this.#acknowledged = total;
    if (!this.#isWatching || this.buffered > highWater / 2) return;
    this.#isWatching = false;
    this.sank();
  }
}

/** The least number of bytes that a message transfers: fewer are copied faster. */
const leastTransfer = 1 << 14;
