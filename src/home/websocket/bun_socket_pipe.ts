import { type FrameLimit, MessagePipe } from "../../transports/home/pipes/message_pipe.ts";
import type { PipeObserver } from "../../transports/home/pipes/pipe.ts";
import { bytesOf, lossOf } from "../../transports/home/pipes/websocket_pipe.ts";

/** A WebSocket of Bun's server. It calls the handlers that all sockets of a server share. */
export interface BunSocket {
  readonly data: BunData;
  readonly isPaused?: boolean;
  getBufferedAmount(): number;
  send(data: Uint8Array): number;
  cork(send: () => void): void;
  close(code?: number): void;
  terminate(): void;
  ping(): unknown;
  pause?(): void;
  resume?(): void;
}

/** What a socket carries from the request to the handlers. */
export interface BunData {
  /** Called when the socket is open. */
  opened(socket: BunSocket): void;
  pipe?: BunSocketPipe;
  /** Whether the other end has sent anything since the last ping. */
  isAlive: boolean;
  /** Called when the socket is closed. */
  gone(): void;
}

/** The handlers of `Bun.serve`, with the settings of its sockets. */
export interface BunHandlers {
  readonly idleTimeout: number;
  readonly maxPayloadLength: number;
  readonly backpressureLimit: number;
  readonly perMessageDeflate: false;
  open(socket: BunSocket): void;
  message(socket: BunSocket, data: string | Uint8Array): void;
  drain(socket: BunSocket): void;
  pong(socket: BunSocket): void;
  ping(socket: BunSocket): void;
  close(socket: BunSocket, code: number, reason: string): void;
}

/** A pipe over a WebSocket of Bun's server. */
export class BunSocketPipe extends MessagePipe {
  readonly #socket: BunSocket;
  #outgoing: Uint8Array<ArrayBuffer>[] = [];
  #outgoingBytes = 0;

  constructor(socket: BunSocket, observer: PipeObserver, limit: FrameLimit) {
    super(observer, limit);
    this.#socket = socket;
  }

  get buffered(): number {
    return this.#outgoingBytes + this.#socket.getBufferedAmount();
  }

  ref(): void {}

  unref(): void {}

  message(data: string | Uint8Array): void {
    this.arrived(bytesOf(data));
  }

  drain(): void {
    this.sank();
  }

  closedWith(code: number, reason: string): void {
    this.ended(lossOf({ code, reason }));
  }

  protected override transmit(message: Uint8Array<ArrayBuffer>): void {
    this.#outgoing.push(message);
    this.#outgoingBytes += message.length;
    if (this.#outgoing.length === 1) queueMicrotask(() => this.#flush());
  }

  protected override finish(): void {
    this.#flush();
    this.#socket.close(1000);
  }

  protected override cut(): void {
    this.#socket.terminate();
  }

  protected override hold(isPaused: boolean): void {
    if (isPaused) this.#socket.pause?.();
    else this.#socket.resume?.();
  }

  /** Bun calls `drain`. */
  protected override watch(): void {}

  /** Sends the frames of a turn together. */
  #flush(): void {
    const outgoing = this.#outgoing;
    if (outgoing.length === 0) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    this.#socket.cork(() => {
      for (const message of outgoing) this.#socket.send(message);
    });
    if (this.#socket.getBufferedAmount() === 0) this.sank(); // all that was above has left: Bun calls no `drain`
  }
}
