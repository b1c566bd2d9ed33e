import type { ChannelState } from "../file/channels.ts";
import type { LinkState } from "./link_state.ts";
import { type Admission, admit, writePuts } from "./put_step.ts";
import { BufferRoom, RendezvousRoom, type Room, unlimitedRoom } from "./room.ts";
import { TakeStep } from "./take_step.ts";

/** The state of a link when a transaction begins. */
export interface LinkStatus {
  /** Whether its session is among the channel's waiters. */
  readonly isWaiting: boolean;
  /** Whether offers or room waiters wait for room. */
  readonly isFull: boolean;
  /** Whether the channel must be closed after the present puts. */
  readonly isDraining: boolean;
  /** Whether the link is being closed. */
  readonly isClosing: boolean;
}

/**
 * One transaction of the file for one link. It changes the file and this object, and nothing else in memory,
 * because it may fail or be repeated; after the commit, the link applies it. Its passes:
 *
 * 1. Write the accepted and the released loans.
 * 2. If the link is being closed, release everything that it holds. Otherwise:
 * 3. Return overdue messages of the read-ahead, and serve the polls that precede a put.
 * 4. Put offers, as far as the channel has room; close the channel, if that is asked for.
 * 5. Take messages for the consumers, or join the channel's waiters.
 * 6. If the channel is closed and empty, end the waiting of all sessions.
 */
export class LinkTransaction {
  /** Whether the channel is deleted; nothing else was done then. */
  isGone = false;
  /** Whether the channel takes no more messages. */
  isClosed = false;
  /** Whether the channel is closed and will never have a message again. */
  isOver = false;
  /** Whether other sessions wait to put to a channel of capacity 0, so that polls wait for them for a moment. */
  isMeeting = false;
  /** The put pass; undefined if there was none. */
  puts: Admission | undefined;
  /** The take passes; undefined if the channel is deleted, or the link is closed. */
  take: TakeStep | undefined;
  readonly #link: LinkState;

  constructor(link: LinkState) {
    this.#link = link;
  }

  run(status: LinkStatus): void {
    const { channel, session, settlements } = this.#link;
    const { messages, channels, roomWaiters, waiters } = session.store;
    const accepted = settlements.write(messages, channel);
    const state = channels.state(channel);
    if (state === undefined) {
      this.isGone = true;
      return;
    }
    if (state.capacity !== null) roomWaiters.resize(channel, -accepted);
    this.isClosed = state.is_closed !== 0;
    if (status.isClosing) this.#releaseAll();
    else this.#exchange(status, state, state.size - accepted);
    if (this.isClosed && messages.isEmpty(channel)) {
      this.isOver = true;
      if (this.take?.isWaiting) this.take.stopWaiting();
      waiters.notify(channel);
    }
  }

  /** Puts and takes. */
  #exchange(status: LinkStatus, { capacity }: ChannelState, size: number): void {
    const { channel, session } = this.#link;
    const { roomWaiters } = session.store;
    const take = this.take = new TakeStep(this.#link, status.isWaiting);
    take.begin();
    const room = this.isClosed ? undefined : this.#room(capacity, size, take);
    const left = room === undefined ? 0 : this.#put(room, status);
    this.isMeeting = capacity === 0 && roomWaiters.hasOthers(channel);
    const taken = take.take(this.isMeeting);
    room?.check(left, taken);
    if (capacity === 0 && take.isWaiting) roomWaiters.wake(channel, 1);
  }

  #room(capacity: number | null, size: number, take: TakeStep): Room {
    if (capacity === null) return unlimitedRoom;
    if (capacity > 0) return new BufferRoom(capacity, size);
    const { channel, session, claims } = this.#link;
    const { channels, waiters } = session.store;
    const { isWaiting, held, limit, polling } = take;
    return new RendezvousRoom({
      waiters: waiters.count(channel),
      isWaiting,
      depth: channels.state(channel)!.depth,
      held,
      limit,
      consumers: (group) => claims.waitingOutside(group) + polling,
    });
  }

  /** Puts offers. Returns how many messages were given to no waiter. */
  #put(room: Room, { isFull, isDraining }: LinkStatus): number {
    const { channel, session, puts, roomWaiters } = this.#link;
    const offers = puts.next();
    this.puts = admit(offers, roomWaiters, room);
    const isLast = offers.length === puts.size || this.puts.isFull;
    this.isClosed = isDraining && isLast;
    const left = writePuts(this.#link, this.puts, isFull, this.isClosed);
    const hasCapacity = room !== unlimitedRoom;
    if (hasCapacity) session.store.roomWaiters.resize(channel, this.puts.admitted.length);
    return left;
  }

  /** Releases everything that the link holds, and detaches the session from the channel. */
  #releaseAll(): void {
    const { channel, session, readAhead, settlements } = this.#link;
    const { messages, channels } = session.store;
    for (const { id, tried } of readAhead) messages.release(channel, id, tried, false);
    for (const { id, tried } of settlements.lent) messages.release(channel, id, tried, true);
    for (const row of session.inbox.uncollected()) {
      if (row.channel === channel) messages.release(channel, row.id, row.attempts, false);
    }
    channels.detach(channel);
    messages.serve(channel);
  }
}
