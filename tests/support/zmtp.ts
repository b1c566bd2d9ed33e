import { Buffer } from "node:buffer";
import type { Acceptor, PeerInfo } from "../../src/home/acceptor.ts";
import { listenZmq, type ZmqServer, type ZmqServerOptions } from "../../src/home/zmq_server.ts";
import type { Pipe, PipeObserver } from "../../src/transports/home/pipes/pipe.ts";
import { parseZmqUri } from "../../src/transports/home/pipes/zmtp/uri.ts";
import { zmqDial } from "../../src/transports/home/pipes/zmtp/zmtp_dial.ts";
import { until } from "../conformance/fixture.ts";

/** One end of a pipe, and what has happened to it. */
export class End implements PipeObserver {
  pipe!: Pipe;
  readonly frames: Uint8Array[] = [];
  drains = 0;
  /** What `closed` was called with, once for each call. */
  readonly ends: (Error | undefined)[] = [];
  onFrame: ((frame: Uint8Array) => void) | undefined;

  received(frame: Uint8Array): void {
    if (this.onFrame === undefined) this.frames.push(frame);
    else this.onFrame(frame);
  }

  drained(): void {
    this.drains++;
  }

  closed(error: Error | undefined): void {
    this.ends.push(error);
  }

  /** The frames as text. */
  get texts(): string[] {
    return this.frames.map((frame) => new TextDecoder().decode(frame));
  }
}

/** How a {@linkcode PipeServer} listens. */
export interface PipeServerOptions {
  readonly uri?: string;
  readonly maxFrame?: number;
  /** Whether each frame is sent back, as a body. */
  readonly isEcho?: boolean;
}

/** A server of pipes that keeps what peers send. */
export class PipeServer {
  /** The ends of the peers, in the order of their arrival. */
  readonly ends: End[] = [];
  readonly peers: PeerInfo[] = [];
  /** Why connections were not accepted. */
  readonly failures: string[] = [];
  /** The number of connections that are not over. */
  open = 0;
  #server!: ZmqServer;

  /** Starts a server, by default at a free port. */
  static async start(
    options: ZmqServerOptions = {},
    { uri = "zmq://127.0.0.1:0", maxFrame = 1 << 24, isEcho = false }: PipeServerOptions = {},
  ): Promise<PipeServer> {
    const made = new PipeServer();
    const acceptor: Acceptor = {
      arrived() {
        made.open++;
        return { maxFrame, gone: () => made.open-- };
      },
      accept(info, open) {
        const end = new End();
        if (isEcho) {
          end.onFrame = (frame) => {
            end.frames.push(frame);
            end.pipe.send("echo", frame);
          };
        }
        end.pipe = open(end);
        made.ends.push(end);
        made.peers.push(info);
      },
    };
    const failed = (_: string, error: Error) => void made.failures.push(error.message);
    made.#server = await listenZmq(uri, { ...options, failed }, acceptor);
    return made;
  }

  get address(): string {
    return this.#server.address;
  }

  /** Resolves with the first peer's end. */
  async first(): Promise<End> {
    await until(() => this.ends.length > 0);
    return this.ends[0]!;
  }

  async close(): Promise<void> {
    for (const { pipe } of this.ends) pipe.close();
    await this.#server.close();
  }
}

/** Opens a pipe to a URI. */
export async function dialed(
  uri: string,
  secretKey?: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<End> {
  const end = new End();
  end.pipe = await zmqDial(parseZmqUri(uri), secretKey)(end, signal);
  return end;
}

/** The greeting and the READY of an end that uses NULL. */
export function handshake(socketType: string): Uint8Array {
  const greeting = Buffer.alloc(64);
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1]);
  greeting.write("NULL", 12);
  const property = Buffer.concat([
    Buffer.from("\x0bSocket-Type\0\0\0"),
    Buffer.from([socketType.length]),
    Buffer.from(socketType),
  ]);
  const ready = Buffer.concat([Buffer.from("\x05READY"), property]);
  return Buffer.concat([greeting, Buffer.from([4, ready.length]), ready]);
}
