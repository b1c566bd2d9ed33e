/**
 * A connection that carries frames: byte strings, whole and in order. ZMTP, WebSocket and a `MessagePort` are pipes.
 * The protocol between a peer and a home is spoken over one.
 *
 * Frames that are sent in one turn of the event loop leave together.
 */
export interface Pipe {
  /** How many bytes were sent and have not been passed to the system. */
  readonly buffered: number;
  /**
   * Sends one frame: the header, and if there is a body, a line feed and the body. The pipe may keep the body until the
   * frame has left, so the caller must not change it. Does nothing after the pipe is closed.
   *
   * @param header text without a line feed
   */
  send(header: string, body?: Uint8Array): void;
  /** Stops reading until `resume` is called, so that the sender at the other end must wait. */
  pause(): void;
  /** Reads on. */
  resume(): void;
  /** Sends what is buffered, then closes. `closed` follows, after a bounded time even if the other end does not read. */
  close(): void;
  /** Closes at once. `closed` follows, with `error`. */
  abort(error: Error): void;
  /** Keeps the process alive while the pipe is open, where the runtime can do so. */
  ref(): void;
  /** Lets the process exit although the pipe is open. */
  unref(): void;
}

/** What a pipe reports to its owner. */
export interface PipeObserver {
  /** A frame has arrived. The observer may keep its bytes. */
  received(frame: Uint8Array): void;
  /** `buffered` was above `highWater` and has fallen below. */
  drained(): void;
  /** The pipe is closed. Called once; nothing is called afterwards. Without an error, the other end has closed it. */
  closed(error: Error | undefined): void;
}

/** Milliseconds between the pings of an end. The other end counts as gone after two to three times as long. */
export const defaultHeartbeat = 10_000;

/** The size in bytes of the largest frame that a peer reads. A home has its own limit. */
export const defaultMaxFrame: number = 2 ** 30;

/** The number of buffered bytes above which a pipe tells when it has drained. */
export const highWater: number = 1 << 18;

/**
 * Opens a pipe to a home. Rejects with a ChannelConnectionError if that fails, or with the signal's reason.
 *
 * @param observer is called from the moment when the promise resolves
 */
export type Dial = (observer: PipeObserver, signal: AbortSignal) => Promise<Pipe>;
