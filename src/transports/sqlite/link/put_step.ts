import type { Offer, RoomWaiter } from "../../transport.ts";
import type { LinkState } from "./link_state.ts";
import type { Room } from "./room.ts";

/** Which offers a transaction puts. */
export interface Admission {
  readonly admitted: readonly Offer[];
  /** Offers that do not wait for room, and found none. */
  readonly refused: readonly Offer[];
  /** Offers with a delay to a channel of capacity 0. */
  readonly undelayable: readonly Offer[];
  /** Room waiters that may offer again. */
  readonly roomy: readonly RoomWaiter[];
  /** Whether offers or room waiters wait for room. */
  readonly isFull: boolean;
}

const none: readonly never[] = [];

/** Admits offers, in their order, as far as there is room. */
export function admit(
  offers: readonly Offer[],
  roomWaiters: ReadonlySet<RoomWaiter>,
  room: Room,
): Admission {
  const isDelayed = ({ message }: Offer) => message.delay !== undefined;
  const undelayable = room.canHold ? none : offers.filter(isDelayed);
  const candidates = undelayable.length === 0 ? offers : offers.filter((one) => !isDelayed(one));
  const count = Math.max(room.available(), 0);
  const admitted = candidates.slice(0, count);
  const late = candidates.slice(count);
  const refused = late.filter(({ full }) => full !== undefined);
  const roomy = [...roomWaiters].filter(({ group }) => room.available(group) > admitted.length);
  const isFull = late.length > refused.length || roomy.length < roomWaiters.size;
  return { admitted, refused, undelayable, roomy, isFull };
}

/**
 * Writes admitted offers to the file. Returns how many of them were given to no waiter.
 *
 * @param wasFull whether offers or room waiters of the link waited for room before
 * @param isClosing whether the channel is closed afterwards, so that nothing waits for room
 */
export function writePuts(
  { channel, session }: LinkState,
  { admitted, isFull }: Admission,
  wasFull: boolean,
  isClosing: boolean,
): number {
  const { messages, roomWaiters, channels } = session.store;
  if (isFull && !isClosing) roomWaiters.join(channel);
  else if (wasFull) roomWaiters.leave(channel);
  const left = admitted.length === 0
    ? 0
    : messages.put(channel, admitted.map(({ message }) => message));
  if (isClosing) channels.close(channel);
  return left;
}
