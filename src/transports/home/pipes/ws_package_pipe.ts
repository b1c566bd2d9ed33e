import { type FrameLimit, MessagePipe } from "./message_pipe.ts";
import { highWater, type PipeObserver } from "./pipe.ts";
import { bytesOf, lossOf } from "./websocket_pipe.ts";

/** An open socket of the npm package `ws`, or of Bun, which has its own package of that name. */
export interface PackageSocket {
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly isPaused: boolean;
  on(event: "message", listener: (data: unknown, isBinary: boolean) => void): unknown;
  on(event: "close", listener: (code: number, reason: Uint8Array) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "pong" | "ping" | "open", listener: () => void): unknown;
  send(data: Uint8Array, options: { binary: boolean }, sent?: () => void): void;
  ping(): void;
  pause(): void;
  resume(): void;
  close(code?: number): void;
  terminate(): void;
}

/** The socket below, as `node:net` has it. Bun's lacks most. */
export interface RawSocket {
  ref?(): unknown;
  unref?(): unknown;
  cork?(): void;
  uncork?(): void;
}

/** A pipe over an open socket of the package `ws`, at either end. */
export class PackageSocketPipe extends MessagePipe {
  readonly #socket: PackageSocket;
  readonly #raw: RawSocket | undefined;
  #isCorked = false;
  /** Whether the last message tells when it has been sent. */
  #isWatching = false;

  constructor(
    socket: PackageSocket,
    raw: RawSocket | undefined,
    observer: PipeObserver,
    limit?: FrameLimit,
  ) {
    super(observer, limit);
    this.#socket = socket;
    this.#raw = raw;
    socket.on("message", (data) => this.arrived(bytesOf(data)));
    let failure: Error | undefined;
    socket.on("error", (error) => failure = error);
    socket.on("close", (code) => this.ended(failure ?? lossOf({ code })));
  }

  get buffered(): number {
    return this.#socket.bufferedAmount;
  }

  ref(): void {
    this.#raw?.ref?.();
  }

  unref(): void {
    this.#raw?.unref?.();
  }

  protected override transmit(message: Uint8Array<ArrayBuffer>): void {
    this.#cork();
    this.#socket.send(message, binary, this.#sent);
  }

  protected override finish(): void {
    this.#uncork();
    this.#socket.close(1000);
  }

  protected override cut(): void {
    this.#socket.terminate();
  }

  protected override hold(isPaused: boolean): void {
    if (isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  protected override watch(): void {
    this.#isWatching = true;
  }

  readonly #sent = (): void => {
    if (!this.#isWatching || this.buffered > highWater / 2) return;
    this.#isWatching = false;
    this.sank();
  };

  /** Holds what is sent until the end of the turn, so that it leaves together. */
  #cork(): void {
    if (this.#isCorked || this.#raw?.cork === undefined) return;
    this.#isCorked = true;
    this.#raw.cork();
    queueMicrotask(() => this.#uncork());
  }

  #uncork(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#raw!.uncork!();
  }
}

const binary = { binary: true };
