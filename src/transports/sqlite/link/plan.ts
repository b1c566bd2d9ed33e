import type { Offer, RoomWaiter } from "../../transport.ts";
import type { PendingPoll } from "./claims.ts";
import type { SqliteLoan } from "./loan.ts";
import type { Row } from "../file/store.ts";

/** What one transaction did for a link, to be applied when it is committed. */
export class Plan {
  offers: Offer[] = [];
  /** Taken by this session itself. */
  rows: Row[] = [];
  /** Given to it in this same transaction. */
  given: Row[] = [];
  /** For whom nothing was there. */
  refused: PendingPoll[] = [];
  kept: SqliteLoan[] = [];
  /** All on the shelf, or none. */
  returned: SqliteLoan[] = [];
  /** How many stay there. */
  shelved = 0;
  isWaiting: boolean;
  /** Whether some were waiting for room before. */
  readonly wasFull: boolean;
  /** Whether the channel is to be closed. */
  readonly isDraining: boolean;
  isGone = false;
  isMore = false;
  /** Whether some find no room and wait for it; these do not. */
  isFull = false;
  impatient: Offer[] = [];
  /** Whether others may have a message for who only asks, and put it as they hear of that. */
  isMeeting = false;
  /** Those who may try again. */
  roomy: RoomWaiter[] = [];
  /** Offers with a delay to a channel that holds nothing. */
  undelayable: Offer[] = [];
  /** Whether the channel is closed; whether there will be nothing to get any more. */
  isClosed = false;
  isOver = false;

  constructor(isWaiting: boolean, wasFull: boolean, isDraining: boolean) {
    this.isWaiting = isWaiting;
    this.wasFull = wasFull;
    this.isDraining = isDraining;
  }
}
