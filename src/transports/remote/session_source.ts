import type { ChannelConnectionError } from "../../shared/errors.ts";
import type { ProcessRef } from "./process_ref.ts";
import type { RemoteSession } from "./remote_session.ts";

/** A link that waits for a connection. */
export interface SessionWaiter<S> {
  /** A connection is open. */
  connected(session: S): void;
  /**
   * An attempt to connect has failed. The next begins in `pause` ms; with `Infinity`, none follows until the waiter
   * calls `connect` again.
   */
  failed(error: ChannelConnectionError, pause: number): void;
}

/** Where a link gets its connections from. */
export interface SessionSource<S extends RemoteSession> {
  /** The address without credentials. */
  readonly address: string;
  readonly processRef: ProcessRef;
  /** Why no connection is open; undefined if one is. */
  readonly trouble: Error | undefined;
  /** Passes a connection to the waiter: the open one at once, or else the next one. */
  connect(waiter: SessionWaiter<S>): void;
  /** Ends the waiter's call of `connect`. */
  cancel(waiter: SessionWaiter<S>): void;
  /** Ends a long pause, which was made while no operation was pending. */
  retryNow(): void;
}
