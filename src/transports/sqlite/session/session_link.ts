import type { Row } from "../file/messages.ts";

/** A link, as its session uses it. */
export interface SessionLink {
  /** The id of its channel. */
  readonly channel: number;
  /** Receives a message that another session has given to this session. */
  receive(row: Row): void;
  /** Hands over what `receive` has received. */
  received(): void;
  /** Reads the new announcements. Returns the number of the last one; undefined if there is none. */
  readAnnouncements(): number | undefined;
  /** Runs a transaction: the channel was closed, or it has room, or its waiters wait for nothing. */
  stateChanged(): void;
  /** Ends: the channel is deleted, or the session is no longer in the file. */
  channelGone(): void;
  /** Schedules what could not be written when it was due. */
  resume(): void;
}
