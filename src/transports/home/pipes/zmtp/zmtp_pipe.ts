import type { Socket } from "node:net";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { highWater, type Pipe, type PipeObserver } from "../pipe.ts";
import {
  bytesOf,
  printable,
  readCommand,
  readReason,
  shortString,
  writeCommand,
} from "./commands.ts";
import { FrameOutput } from "./frame_output.ts";
import { commandFlag, FrameSplitter, moreFlag } from "./frame_splitter.ts";
import { checkGreeting, greetingSize, readGreeting, writeGreeting } from "./greeting.ts";
import type { Cipher, Mechanism, Outcome } from "./mechanism.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** Options of a pipe over ZMTP. */
export interface ZmtpOptions {
  readonly mechanism: Mechanism;
  /** The type that the other end's socket must have. */
  readonly expected: "DEALER" | "ROUTER";
  /** Its `maxFrame` is the size in bytes of the largest frame that is read, and may change. */
  readonly limit: { readonly maxFrame: number };
  /**
   * Milliseconds between requests for a sign of life. If nothing arrives for two to three times as long, the pipe is
   * closed. 0 for never.
   */
  readonly heartbeat: number;
}

/** What becomes of a new connection: one of the methods is called, once. */
export interface Opening {
  /** The handshake is over. Nothing is read until the pipe is started. */
  opened(pipe: ZmtpPipe, outcome: Outcome): void;
  /** The connection is closed. Without an error, the other end has closed it. */
  failed(error: Error | undefined): void;
}

/**
 * One end of a connection of ZMTP 3.1 that carries messages of one part (https://rfc.zeromq.org/spec/37/).
 *
 * Invariants: frames are delivered only while `state` is `open`, the pipe is started and not paused. `closed` of the
 * observer, or `failed` of the opening, is called once, when the socket has closed.
 */
export class ZmtpPipe implements Pipe {
  readonly #socket: Socket;
  readonly #options: ZmtpOptions;
  readonly #output: FrameOutput;
  readonly #input: FrameSplitter;
  #opening: Opening | undefined;
  #observer: PipeObserver | undefined;
  #state: "greeting" | "handshake" | "open" | "closing" = "greeting";
  #cipher: Cipher | undefined;
  /** Whether the other end knows pings, which ZMTP 3.0 did not have. */
  #hasPings = false;
  #isPaused = false;
  #isReading = false;
  /** Why this end has closed the connection. */
  #error: Error | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  /** How many intervals of the heartbeat have passed since something arrived. */
  #silent = 0;

  /** @param socket a connected socket, from which nothing has been read */
  constructor(socket: Socket, options: ZmtpOptions, opening: Opening) {
    this.#socket = socket;
    this.#options = options;
    this.#opening = opening;
    this.#output = new FrameOutput(socket, () => this.#observer?.drained());
    this.#input = new FrameSplitter(options.limit);
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#arrived(chunk));
    socket.on("drain", () => this.#output.drained());
    socket.on("error", (error) => this.#error ??= error);
    socket.on("end", () => this.#closeInTime());
    socket.on("close", () => this.#closed());
    const { mechanism } = options;
    this.#output.raw(writeGreeting(mechanism.name, mechanism.isServer));
  }

  get buffered(): number {
    return this.#output.buffered;
  }

  /** Begins to deliver frames. */
  start(observer: PipeObserver): void {
    this.#observer = observer;
    this.resume();
  }

  send(header: string, body?: Uint8Array): void {
    if (this.#state !== "open") return;
    if (this.#cipher === undefined) return this.#output.message(header, body);
    const parts = body === undefined ? [bytesOf(header)] : [bytesOf(header), lineFeed, body];
    this.#output.frame(0, ...this.#cipher.seal(0, ...parts));
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#state === "open") this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#state !== "open") return;
    this.#silent = 0;
    this.#socket.resume();
    // Not at once: the caller may be the observer, or not be ready for a frame.
    queueMicrotask(() => this.#read());
  }

  close(): void {
    if (this.#state === "closing") return;
    this.#state = "closing";
    this.#output.flush();
    this.#socket.end();
    this.#socket.resume(); // what arrives is dropped; unread, it would keep the connection from closing
    this.#closeInTime();
  }

  abort(error: Error): void {
    this.#error ??= error;
    this.#state = "closing";
    this.#socket.destroy();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  #arrived(chunk: Uint8Array): void {
    if (this.#state === "closing") return;
    this.#silent = 0;
    this.#input.push(chunk);
    this.#read();
  }

  /** Reads what has arrived. */
  #read(): void {
    if (this.#isReading) return; // `resume` was called by the observer: the loop goes on
    this.#isReading = true;
    while (!this.#isPaused && this.#state !== "closing") {
      let content: Uint8Array | undefined;
      try {
        content = this.#next();
      } catch (error) {
        if (error instanceof ZmtpError) this.#refuse(error);
        else this.abort(error as Error); // whatever a stranger sends does not end the process
        break;
      }
      if (content === undefined) break;
      if (content !== handled) this.#observer!.received(content);
    }
    this.#isReading = false;
  }

  /** Returns the next message; `handled` after something else, and undefined if nothing is left. */
  #next(): Uint8Array | undefined {
    if (this.#state === "greeting") return this.#greet();
    const frame = this.#input.next();
    if (frame === undefined) return undefined;
    const { flags } = this.#input;
    if (this.#state === "handshake") return this.#shake(flags, frame);
    if (this.#cipher === undefined) return this.#receive(flags, frame);
    const opened = this.#cipher.open(frame);
    return this.#receive(opened.flags, opened.content);
  }

  #greet(): typeof handled | undefined {
    const bytes = this.#input.take(greetingSize);
    if (bytes === undefined) {
      checkGreeting(this.#input.rest);
      return undefined;
    }
    const { mechanism } = this.#options;
    const greeting = readGreeting(bytes);
    if (greeting.mechanism !== mechanism.name) {
      throw new ZmtpError(
        `the other end uses the security mechanism ${greeting.mechanism}, and this end ${mechanism.name}`,
        { isRefusal: true },
      );
    }
    this.#state = "handshake";
    this.#hasPings = greeting.minor > 0;
    const first = mechanism.begin();
    if (first !== undefined) this.#output.command(first);
    return handled;
  }

  #shake(flags: number, frame: Uint8Array): typeof handled {
    if ((flags & commandFlag) === 0) {
      throw new ZmtpError("a message came before the end of the handshake");
    }
    const { name, body } = readCommand(frame);
    if (name === "ERROR") {
      throw new ZmtpError(`the other end has refused: ${readReason(body)}`, { isRefusal: true });
    }
    const { reply, outcome } = this.#options.mechanism.receive(name, body);
    if (reply !== undefined) this.#output.command(reply);
    if (outcome !== undefined) this.#opened(outcome);
    return handled;
  }

  #opened(outcome: Outcome): void {
    const type = printable(outcome.properties.get("socket-type") ?? new Uint8Array(0));
    const { expected, heartbeat } = this.#options;
    if (type !== expected) {
      throw new ZmtpError(`the other end is a socket of type ${type}, and ${expected} is needed`);
    }
    this.#cipher = outcome.cipher;
    this.#state = "open";
    this.pause();
    if (heartbeat > 0 && this.#hasPings) {
      this.#heartbeat = setInterval(() => this.#beat(), heartbeat);
      this.#heartbeat.unref();
    }
    const opening = this.#opening!;
    this.#opening = undefined;
    opening.opened(this, outcome);
  }

  #receive(flags: number, content: Uint8Array): Uint8Array {
    if (flags === 0) return content;
    if ((flags & commandFlag) !== 0) {
      this.#command(content);
      return handled;
    }
    if ((flags & moreFlag) !== 0) {
      throw new ZmtpError("a message has several parts, and one is expected");
    }
    return content;
  }

  #command(bytes: Uint8Array): void {
    const { name, body } = readCommand(bytes);
    if (name === "ERROR") throw new ZmtpError(`the other end has failed: ${readReason(body)}`);
    // An end that does not read its answers gets no more: it cannot make this end keep any number of them.
    if (name !== "PING" || this.buffered > highWater) return;
    if (body.length < 2 || body.length > 18) throw new ZmtpError("a PING is not valid");
    this.#sendCommand(writeCommand("PONG", body.subarray(2)));
  }

  #sendCommand(bytes: Uint8Array): void {
    if (this.#cipher === undefined) this.#output.command(bytes);
    else this.#output.frame(0, ...this.#cipher.seal(commandFlag, bytes));
  }

  /** Counts intervals, not milliseconds: after a time in which the process was stopped, what has arrived is read first. */
  #beat(): void {
    if (this.#state !== "open" || this.#isPaused) return;
    if (this.#silent >= silentBeats) {
      const seconds = this.#options.heartbeat * silentBeats / 1000;
      return this.abort(new ZmtpError(`the other end has not answered for ${seconds} s`));
    }
    this.#silent++;
    if (this.buffered > highWater) return;
    const ttl = Math.min(Math.ceil(this.#options.heartbeat * (silentBeats + 1) / 100), 65_535);
    this.#sendCommand(writeCommand("PING", new Uint8Array([ttl >> 8, ttl & 255])));
  }

  /** Closes the connection because of what the other end has sent. */
  #refuse(error: ZmtpError): void {
    this.#error ??= error;
    if (error.told === undefined && !error.isRefusal) return this.abort(error);
    // The other end is to know why: by ERROR, or by the mechanism in the greeting of this end.
    if (error.told !== undefined) {
      this.#output.command(writeCommand("ERROR", shortString(bytesOf(error.told))));
    }
    this.close();
  }

  /** Closes at last, even if the other end reads nothing and does not close. */
  #closeInTime(): void {
    if (this.#closeTimer !== undefined) return;
    this.#closeTimer = setTimeout(() => this.#socket.destroy(), closeTimeout);
    this.#closeTimer.unref();
  }

  #closed(): void {
    this.#state = "closing";
    clearTimeout(this.#closeTimer);
    clearInterval(this.#heartbeat);
    this.#opening?.failed(this.#error);
    this.#observer?.closed(this.#error);
  }
}

/** Returned in place of a message that this file has handled. */
const handled = new Uint8Array(0);

const lineFeed = new Uint8Array([10]);

/** After how many silent intervals the other end counts as gone. */
const silentBeats = 2;

/** Milliseconds for the last bytes to leave. */
const closeTimeout = 1000;
