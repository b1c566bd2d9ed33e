import type { RoomWaiter } from "../../transport.ts";
import type { FileSession } from "../session/session.ts";
import type { Claims } from "./claims.ts";
import type { PutBatch } from "./put_batch.ts";
import type { ReadAhead } from "./read_ahead.ts";
import type { ReadAheadSize } from "../../read_ahead_size.ts";
import type { Settlements } from "./settlements.ts";

/** What a link holds in memory. Its transactions read it, and do not change it. */
export interface LinkState {
  /** The id of the channel. */
  readonly channel: number;
  readonly session: FileSession;
  readonly puts: PutBatch;
  readonly roomWaiters: ReadonlySet<RoomWaiter>;
  readonly claims: Claims;
  readonly readAhead: ReadAhead;
  readonly readAheadSize: ReadAheadSize;
  readonly settlements: Settlements;
}
