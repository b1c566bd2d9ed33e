import { unref } from "../../../shared/timers.ts";
import { type FrameLimit, MessagePipe } from "./message_pipe.ts";
import { highWater, type PipeObserver } from "./pipe.ts";

/** A WebSocket that is open, with the methods that Bun's have besides. */
export type OpenWebSocket = WebSocket & {
  pause?(): void;
  resume?(): void;
  terminate?(): void;
};

/** The subprotocol of the first version of the protocol. */
export const subprotocol: string = "channelts.1";

/** A pipe over an open WebSocket with the interface of the Web, at either end. */
export class WebSocketPipe extends MessagePipe {
  readonly #socket: OpenWebSocket;

  constructor(socket: OpenWebSocket, observer: PipeObserver, limit?: FrameLimit) {
    super(observer, limit);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.arrived(bytesOf(data)));
    let failure: Error | undefined;
    socket.addEventListener("error", (event) => failure = errorOf(event));
    socket.addEventListener("close", (event) => this.ended(failure ?? lossOf(event)));
  }

  get buffered(): number {
    return this.#socket.bufferedAmount ?? 0; // workerd does not tell it
  }

  ref(): void {}

  unref(): void {}

  protected override transmit(message: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(message);
  }

  protected override finish(): void {
    this.#socket.close(1000);
  }

  protected override cut(): void {
    if (this.#socket.terminate !== undefined) this.#socket.terminate();
    else this.#socket.close(1000);
  }

  protected override hold(isPaused: boolean): void {
    if (isPaused) this.#socket.pause?.();
    else this.#socket.resume?.();
  }

  /** The Web has no event for it. */
  protected override watch(): void {
    const look = () => {
      if (this.isClosed) return;
      if (this.buffered <= highWater / 2) this.sank();
      else this.#look(look);
    };
    this.#look(look);
  }

  #look(look: () => void): void {
    unref(setTimeout(look, pollPause));
  }
}

/** Milliseconds between two looks at what is buffered. */
const pollPause = 5;

/** The codes of a normal end, and of one for which the other end has given no code. */
const normalCodes = [1000, 1001, 1005];

/** Returns the bytes of a message: binary, or text. */
export function bytesOf(data: unknown): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (typeof data === "string") return new TextEncoder().encode(data);
  // Bun and the package ws give Buffers, which users must not see.
  const { buffer, byteOffset, byteLength } = data as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Returns the error of an `error` event; a browser does not tell what happened. */
function errorOf(event: Event): Error {
  const { message, error } = event as Partial<ErrorEvent>;
  if (error instanceof Error) return error;
  return new Error(message || "the WebSocket failed");
}

/** Returns the error of a socket that was closed; undefined if the other end has closed it in order. */
export function lossOf({ code, reason }: { code: number; reason?: string }): Error | undefined {
  if (normalCodes.includes(code)) return undefined;
  return new Error(`the WebSocket was closed with code ${code}${reason ? `, ${reason}` : ""}`);
}
