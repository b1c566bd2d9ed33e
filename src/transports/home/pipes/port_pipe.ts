import { type FrameLimit, MessagePipe } from "./message_pipe.ts";
import { highWater, type PipeObserver } from "./pipe.ts";

/** A `MessagePort`, with the methods that those of Deno, Bun and Node have besides. */
export type Port = MessagePort & { ref?(): void; unref?(): void };

/**
 * A pipe over a port. A port tells nobody how much is buffered, so each end tells the other how many bytes it has read:
 * a message that is a number. The end of the pipe is `null`, which each end sends once; the port stays open and can
 * carry another pipe.
 */
export class PortPipe extends MessagePipe {
  readonly #port: Port;
  readonly #over: () => void;
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
    const isWhole = message.length === message.buffer.byteLength;
    if (isWhole && message.length >= leastTransfer) {
      this.#port.postMessage(message, [message.buffer]);
    } else this.#port.postMessage(isWhole ? message : message.slice());
  }

  protected override finish(): void {
    if (this.#hasFinished) return;
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
