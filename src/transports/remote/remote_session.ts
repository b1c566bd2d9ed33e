import type { ChannelConnectionError } from "../../shared/errors.ts";

/** One connection to a broker or a home, from its opening to its loss. */
export interface RemoteSession {
  readonly isLost: boolean;
  /** Why the connection was lost. */
  readonly loss: Error | undefined;
  /** The error that says that the connection was lost, and why. */
  readonly lossError: ChannelConnectionError;
  /** Milliseconds since it was opened. */
  readonly age: number;
  /** Calls `listener` once, when the connection is lost. */
  onLost(listener: () => void): void;
  /** Closes the connection, within a bounded time. Never rejects. */
  close(): Promise<void>;
}
