import type { Offer, RoomWaiter } from "../../transport.ts";

/**
 * Returns how many messages a channel takes in a transaction; a negative number counts as 0.
 *
 * @param group a select, whose own claims must take none of them
 */
export type Room = (group?: object) => number;

/** The state of a channel of capacity 0 before a transaction puts messages into it. */
export interface Rendezvous {
  /** The number of waiters in the file: one for each waiting session. */
  readonly waiters: number;
  /** Whether the file's waiters included this session when the transaction began. */
  readonly isWaiting: boolean;
  /** The number of messages that wait in the file because a consumer has released them. */
  readonly depth: number;
  /** The number of messages that this link holds for its own consumers. */
  readonly held: number;
  /** The largest number of messages that the transaction takes for this link. */
  readonly limit: number;
  /** Returns the number of consumers of this link, outside a group. */
  consumers(group: object | undefined): number;
}

/**
 * Returns the room in a channel of capacity 0, which takes a message only if a consumer takes it in the same
 * transaction.
 *
 * Let W be the number of waiters of other sessions, D the depth, C the number of this link's consumers, H the
 * messages that it holds, and L its limit. This session has at most one waiter, however many consumers its link
 * has; let g be 1 if that waiter was given a message in this transaction, which H does not count, and else 0.
 * After n messages were put, the link needs min(C - H - g, L) messages, and takes as many as wait, up to that.
 *
 * Claim: if 0 < n <= room, no message waits after the link has taken. Proof:
 *
 * 1. The room is W + min(C - H, L) - D - g. If `isWaiting`, this session's waiter is either among `waiters` and
 *    g = 0, or it was given a message and g = 1; either way `waiters` - 1 = W - g. Otherwise `waiters` = W and
 *    g = 0.
 * 2. If D > 0, the channel has no waiters (an invariant of `schema.ts`, which `TakeStep.begin` restores), so
 *    W = 0, and D + n <= min(C - H, L) - g. The link needs at least as many, because min(C - H - g, L) >=
 *    min(C - H, L) - g. It takes all D + n.
 * 3. If D = 0, the messages are given to the waiters first. If there are no more messages than waiters, none is
 *    left. Otherwise W messages are given to the other sessions; and if this session's waiter is among
 *    `waiters`, it is given one, which makes g = 1. In each case at most min(C - H, L) - g messages are left,
 *    and as in 2, the link takes them all.
 *
 * {@linkcode checkRendezvous} asserts the claim.
 */
export function rendezvousRoom(
  { waiters, isWaiting, depth, held, limit, consumers }: Rendezvous,
): Room {
  const others = waiters - (isWaiting ? 1 : 0);
  return (group) => others + Math.min(consumers(group) - held, limit) - depth;
}

/**
 * Asserts that no message of a channel of capacity 0 waits after a transaction that has put some.
 *
 * @param left the number of messages that were put and given to no waiter
 * @param taken the number of messages that the link has taken afterwards
 */
export function checkRendezvous({ depth }: Rendezvous, left: number, taken: number): void {
  if (left === 0 || taken >= depth + left) return;
  throw new Error(
    `capacity 0: ${depth} messages waited and ${left} were added, but only ${taken} were taken`,
  );
}

/** Which offers a transaction puts. */
export interface Admission {
  readonly admitted: readonly Offer[];
  /** Offers that do not wait for room, and found none. */
  readonly refused: readonly Offer[];
  /** Room waiters that may offer again. */
  readonly roomy: readonly RoomWaiter[];
  /** Whether offers or room waiters wait for room. */
  readonly isFull: boolean;
}

/** Admits offers, in their order, as far as there is room. */
export function admit(
  offers: readonly Offer[],
  roomWaiters: ReadonlySet<RoomWaiter>,
  room: Room,
): Admission {
  const count = Math.max(room(), 0);
  const late = offers.slice(count);
  const refused = late.filter(({ full }) => full !== undefined);
  const roomy = [...roomWaiters].filter(({ group }) =>
    room(group) > Math.min(count, offers.length)
  );
  const isFull = late.length > refused.length || roomy.length < roomWaiters.size;
  return { admitted: offers.slice(0, count), refused, roomy, isFull };
}
