// Where the frames of a protocol begin and end, for a proxy that cuts a connection within one.

import type { Direction } from "./proxy.ts";

/** The protocols that a proxy knows. */
export type Framing = "amqp" | "zmtp" | "websocket" | "resp";

/** How the bytes of one direction are divided. */
interface Division {
  /** Returns the number of bytes of what precedes the first frame; undefined if more bytes are needed. */
  before(head: readonly number[]): number | undefined;
  /** Returns the number of bytes of a frame that begins so; undefined if more bytes are needed. */
  frame(head: readonly number[]): number | undefined;
}

const divisions: Record<Framing, Record<Direction, Division>> = {
  // AMQP 0-9-1, section 4.2.3: type, channel (2 bytes), size (4 bytes), payload, end. A client first sends "AMQP" and a
  // version.
  amqp: {
    to: { before: () => 8, frame: amqpFrame },
    from: { before: () => 0, frame: amqpFrame },
  },
  // ZMTP 3.1: a greeting of 64 bytes; then flags, of which 2 says that the size has 8 bytes and not 1.
  zmtp: {
    to: { before: () => 64, frame: zmtpFrame },
    from: { before: () => 64, frame: zmtpFrame },
  },
  // RFC 6455, section 5.2, after an HTTP request or response without a body.
  websocket: {
    to: { before: httpHead, frame: webSocketFrame },
    from: { before: httpHead, frame: webSocketFrame },
  },
  // RESP3: a line, and after the length of a blob its bytes. A frame is one element of a command or a reply.
  resp: {
    to: { before: () => 0, frame: respFrame },
    from: { before: () => 0, frame: respFrame },
  },
};

function respFrame(head: readonly number[]): number | undefined {
  if (String(head.slice(-2)) !== "13,10") return undefined;
  const line = String.fromCharCode(...head);
  const size = /^[$=!](\d+)/.exec(line)?.[1];
  return line.length + (size === undefined ? 0 : Number(size) + 2);
}

function amqpFrame(head: readonly number[]): number | undefined {
  return head.length < 7 ? undefined : number(head.slice(3)) + 8;
}

function zmtpFrame(head: readonly number[]): number | undefined {
  const digits = (head[0]! & 2) === 0 ? 1 : 8;
  return head.length < 1 + digits ? undefined : 1 + digits + number(head.slice(1));
}

function webSocketFrame(head: readonly number[]): number | undefined {
  if (head.length < 2) return undefined;
  const short = head[1]! & 0x7f;
  const digits = short === 127 ? 8 : short === 126 ? 2 : 0;
  if (head.length < 2 + digits) return undefined;
  const mask = (head[1]! & 0x80) === 0 ? 0 : 4;
  return 2 + digits + mask + (digits === 0 ? short : number(head.slice(2)));
}

function httpHead(head: readonly number[]): number | undefined {
  return String(head.slice(-4)) === "13,10,13,10" ? head.length : undefined;
}

function number(digits: readonly number[]): number {
  return digits.reduce((sum, digit) => sum * 256 + digit, 0);
}

/** Tracks the frames of one direction of a connection. */
export class Frames {
  readonly #division: Division;
  /** The number of bytes until the next frame begins. */
  #rest = 0;
  /** The first bytes of a frame, or of what precedes the frames, whose size is not known yet. */
  #head: number[] = [];
  #hasBegun: boolean;
  /** The number of frames until the one to stop in. */
  #left: number | undefined;

  constructor(framing: Framing, direction: Direction) {
    this.#division = divisions[framing][direction];
    this.#hasBegun = this.#division.before([]) === 0;
  }

  /** Stops in the middle of the `n`th frame that begins from now on. */
  stopIn(n: number): void {
    this.#left = n;
  }

  /** Returns how many of these bytes come before the stop; undefined if the stop is not among them. */
  until(bytes: Uint8Array): number | undefined {
    for (let at = 0; at < bytes.length;) {
      if (this.#rest > 0) {
        const step = Math.min(this.#rest, bytes.length - at);
        this.#rest -= step;
        at += step;
        continue;
      }
      this.#head.push(bytes[at++]!);
      const { length } = this.#head;
      const size = this.#hasBegun
        ? this.#division.frame(this.#head)
        : this.#division.before(this.#head);
      if (size === undefined) continue;
      this.#head = [];
      this.#rest = size - length;
      if (!this.#hasBegun) {
        this.#hasBegun = true;
      } else if (this.#left !== undefined && --this.#left === 0) {
        return Math.min(at + Math.floor(this.#rest / 2), bytes.length);
      }
    }
    return undefined;
  }
}
