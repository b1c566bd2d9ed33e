import type { Offer } from "../../transport.ts";
import type { ChannelState } from "../file/channels.ts";
import type { LinkState } from "./link_state.ts";
import {
  type Admission,
  admit,
  checkRendezvous,
  type Rendezvous,
  rendezvousRoom,
  type Room,
} from "./room.ts";
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
 * 4. Put offers, as far as the channel has room (see `room.ts`); close the channel, if that is asked for.
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
  /** Offers with a delay to a channel of capacity 0. */
  undelayable: readonly Offer[] = none;
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
    if (capacity === 0) {
      const rendezvous = this.#rendezvous(take);
      const left = this.#put(rendezvousRoom(rendezvous), status, capacity);
      this.isMeeting = roomWaiters.hasOthers(channel);
      checkRendezvous(rendezvous, left, take.take(this.isMeeting));
      if (take.isWaiting) roomWaiters.wake(channel, 1);
    } else {
      this.#put(capacity === null ? unlimited : () => capacity - size, status, capacity);
      take.take(false);
    }
  }

  #rendezvous({ isWaiting, held, limit, polling }: TakeStep): Rendezvous {
    const { channel, session, claims } = this.#link;
    const { channels, waiters } = session.store;
    const { depth } = channels.state(channel)!;
    const consumers = (group?: object) => claims.waitingOutside(group) + polling;
    return { waiters: waiters.count(channel), isWaiting, depth, held, limit, consumers };
  }

  /** Puts offers, unless the channel is closed. Returns how many messages were given to no waiter. */
  #put(room: Room, { isFull, isDraining }: LinkStatus, capacity: number | null): number {
    if (this.isClosed) return 0;
    const { channel, session, puts, roomWaiters } = this.#link;
    const { store } = session;
    const next = puts.next();
    let offers = next;
    if (capacity === 0) { // it cannot hold delayed messages
      this.undelayable = next.filter(({ message }) => message.delay !== undefined);
      offers = next.filter(({ message }) => message.delay === undefined);
    }
    const { admitted, isFull: staysFull } = this.puts = admit(offers, roomWaiters, room);
    this.isClosed = isDraining && (next.length === puts.size || staysFull);
    if (staysFull && !this.isClosed) store.roomWaiters.join(channel);
    else if (isFull) store.roomWaiters.leave(channel);
    let left = 0;
    if (admitted.length > 0) {
      left = store.messages.put(channel, admitted.map(({ message }) => message));
      if (capacity !== null) store.roomWaiters.resize(channel, admitted.length);
    }
    if (this.isClosed) store.channels.close(channel);
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

const unlimited: Room = () => Infinity;
const none: readonly never[] = [];
