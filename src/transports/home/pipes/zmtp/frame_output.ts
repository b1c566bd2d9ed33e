import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { highWater } from "../pipe.ts";
import { commandFlag, longFlag } from "./frame_splitter.ts";

/**
 * Writes ZMTP frames to a socket. Frames of one turn of the event loop share a write: small ones are copied into a
 * slab, large ones are written as they are.
 *
 * Invariants: bytes leave in the order of the calls. While `chunks` has any or the slab has bytes that are not written,
 * a flush is due. The written part of a slab never changes.
 */
export class FrameOutput {
  readonly #socket: Socket;
  #slab: Buffer = Buffer.alloc(0);
  /** The part of the slab that is not in `chunks`. */
  #from = 0;
  #to = 0;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #isDue = false;
  /** Whether more than `highWater` bytes were buffered, and the owner has not been told that they are fewer. */
  #wasHigh = false;
  readonly #onDrained: () => void;

  /** @param onDrained called when more than `highWater` bytes were buffered and fewer are */
  constructor(socket: Socket, onDrained: () => void) {
    this.#socket = socket;
    this.#onDrained = onDrained;
  }

  /** The number of bytes that have not been passed to the system. */
  get buffered(): number {
    return this.#size + this.#to - this.#from + this.#socket.writableLength;
  }

  /** Writes bytes that are no frame. */
  raw(bytes: Uint8Array): void {
    this.#append(bytes);
    this.#wake();
  }

  /** Writes a command. */
  command(bytes: Uint8Array): void {
    this.frame(commandFlag, bytes);
  }

  /** Writes a frame. The bytes must not change until it has left. */
  frame(flags: number, ...parts: readonly Uint8Array[]): void {
    let size = 0;
    for (const part of parts) size += part.length;
    this.#head(flags, size);
    for (const part of parts) this.#append(part);
    this.#wake();
  }

  /** Writes a message of one part: the header, and if there is a body, a line feed and the body. */
  message(header: string, body: Uint8Array | undefined): void {
    const rest = body === undefined ? 0 : body.length + 1;
    const most = header.length * 3;
    // Bytes in UTF-8. The exact number is needed first only if it decides between a short and a long frame.
    const isLong = most + rest < 256
      ? false
      : header.length + rest > 255 || Buffer.byteLength(header) + rest > 255;
    this.#reserve(most + 10);
    const start = this.#to + (isLong ? 9 : 2);
    const size = this.#slab.write(header, start) + rest;
    if (isLong) this.#writeLong(0, size);
    else {
      this.#slab[this.#to] = 0;
      this.#slab[this.#to + 1] = size;
    }
    this.#to = start + size - rest;
    if (body !== undefined) {
      this.#slab[this.#to++] = 10;
      this.#append(body);
    }
    this.#wake();
  }

  /** Passes everything to the socket. */
  flush(): void {
    this.#isDue = false;
    this.#cut();
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#wasHigh ||= this.buffered > highWater;
    this.#chunks = [];
    this.#size = 0;
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (chunks.length === 1) this.#socket.write(chunks[0]!);
    else {
      this.#socket.cork();
      for (const chunk of chunks) this.#socket.write(chunk);
      this.#socket.uncork();
    }
    if (this.#wasHigh) queueMicrotask(() => this.drained()); // the system may have taken all of it
  }

  /** Called when the socket has passed on what it had. */
  drained(): void {
    if (!this.#wasHigh || this.buffered > highWater) return;
    this.#wasHigh = false;
    this.#onDrained();
  }

  #head(flags: number, size: number): void {
    this.#reserve(9);
    if (size > 255) {
      this.#writeLong(flags, size);
      this.#to += 9;
    } else {
      this.#slab[this.#to++] = flags;
      this.#slab[this.#to++] = size;
    }
  }

  #writeLong(flags: number, size: number): void {
    this.#slab[this.#to] = flags | longFlag;
    this.#slab.writeUInt32BE(Math.floor(size / 2 ** 32), this.#to + 1);
    this.#slab.writeUInt32BE(size >>> 0, this.#to + 5);
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length < copied) {
      this.#reserve(bytes.length);
      this.#slab.set(bytes, this.#to);
      this.#to += bytes.length;
    } else {
      this.#cut();
      this.#chunks.push(bytes);
      this.#size += bytes.length;
    }
  }

  /** Makes sure that the slab has room. */
  #reserve(size: number): void {
    if (this.#slab.length - this.#to >= size) return;
    this.#cut();
    if (this.#size >= slabSize) this.flush();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(slabSize, size));
    this.#from = this.#to = 0;
  }

  /** Adds the new part of the slab to the chunks. */
  #cut(): void {
    if (this.#to === this.#from) return;
    this.#chunks.push(this.#slab.subarray(this.#from, this.#to));
    this.#size += this.#to - this.#from;
    this.#from = this.#to;
  }

  #wake(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.flush());
  }
}

const slabSize = 1 << 16;

/** Smaller frames are copied into the slab: a write of its own costs more. */
const copied = 1 << 13;
