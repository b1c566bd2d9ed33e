import { Buffer } from "node:buffer";
import { deletedError } from "../../shared/closed_errors.ts";
import { copyOfError } from "../../shared/error_copies.ts";
import { ChannelClosedError, type ChannelError } from "../../shared/errors.ts";
import { closeTimeout, within } from "../../shared/timeouts.ts";
import { AttachCycle } from "../remote/attach_cycle.ts";
import { Deadlines } from "../remote/deadlines.ts";
import { Groups } from "../remote/groups.ts";
import { openLink } from "../remote/open_link.ts";
import { closedMeanwhile, putError } from "../remote/outage.ts";
import { PendingRequests } from "../remote/pending_requests.ts";
import type {
  ChannelStats,
  Claim,
  Link,
  LinkOptions,
  Loan,
  Offer,
  RoomWaiter,
  Stats,
} from "../transport.ts";
import { keyOf } from "./channel_key.ts";
import { isMissing, isUnavailable } from "./failure.ts";
import type { LinkSession, LinkSessionSource } from "./connection/link_session.ts";
import { RedisAttachment, type RedisAttachmentOwner } from "./redis_attachment.ts";
import { type Found, RedisContinuation } from "./redis_continuation.ts";
import { RedisErrors } from "./redis_errors.ts";
import { RedisEvents } from "./redis_events.ts";
import { RedisOutbox } from "./puts/redis_outbox.ts";
import { RedisSettlements } from "./gets/redis_settlements.ts";

/**
 * This process's attachment to one channel, over all connections. After the loss of a connection the link attaches
 * again on the next, continues the loans that no other process has, sends again what was not confirmed, and
 * claims again. An operation that has waited for `retryTimeout` rejects.
 *
 * Invariants: an operation that waits is in the outbox, in `#waiting`, in `#requests`, or in the attachment, and holds the
 * process alive. While one of them waits and the link is not attached, the cycle attaches it, unless the link is closed.
 */
export class RedisLink implements Link {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #connector: LinkSessionSource;
  readonly #cycle: AttachCycle<LinkSession, Found>;
  readonly #outbox: RedisOutbox;
  readonly #settlements: RedisSettlements;
  readonly #waiting: Deadlines<Claim | RoomWaiter>;
  readonly #requests: PendingRequests<RedisAttachment>;
  readonly #owner: RedisAttachmentOwner;
  readonly #groups = new Groups();
  readonly #errors: RedisErrors;
  readonly #events: RedisEvents;
  readonly #continuation: RedisContinuation;
  /** Waiters for room that wait until the puts of this link have found it. */
  readonly #behindPuts = new Set<RoomWaiter>();
  #attachment: RedisAttachment | undefined;
  #lastClaim = 0;
  /** How many announcements this link has sent. Each time that one is sent, it has another number. */
  #announcements = 0;
  /** The number of the last one of which it is known whether the server has it. */
  #settledAnnouncement = 0;
  #isGone = false;
  /** Whether `close` does not wait for an attachment any more. */
  #isLeft = false;
  /** Whether the server has confirmed that this link has deleted the channel, so that there is nothing to detach from. */
  #isDeleted = false;

  private constructor(
    name: string,
    options: LinkOptions,
    connector: LinkSessionSource,
    stats: Stats,
  ) {
    this.#name = name;
    this.#options = options;
    this.#connector = connector;
    const { processRef, address } = connector;
    const { retryTimeout, observer } = options;
    this.#events = new RedisEvents(observer);
    const errors = this.#errors = new RedisErrors(name, () => {
      const { loss, refusal } = this.#cycle;
      return { address, trouble: connector.trouble ?? loss, refusal };
    });
    this.#cycle = new AttachCycle(connector, {
      attach: (session) => this.#attach(session),
      attached: (session, found) => this.#onAttached(session, found),
      postponed: (pause) => this.#expire(pause),
      failed: (error) => this.#rejectAll(() => copyOfError(error) as ChannelError),
      mayPass: isUnavailable,
      explain: (error) => errors.refused("attach", error),
    });
    this.#waiting = new Deadlines(retryTimeout, processRef, (one) => {
      rejectWaiting(one, errors.outage("get"));
    });
    this.#requests = new PendingRequests(retryTimeout, processRef, {
      attached: () => this.#live,
      isEnded: () => this.#cycle.isEnded,
      start: () => this.#cycle.start(),
      perform: (_action, _attachment, request) => request(),
      meaning: (error, isLost) =>
        isLost ? "lost" : isMissing(error) ? "gone" : isUnavailable(error) ? "later" : "refused",
      gone: (action) => this.#gone(action, "delete"),
      explain: (action, error) => errors.refused(action, error),
      outage: (action) => errors.outage(action),
      ended: (action) => closedMeanwhile(action, address, new Error("the link is closed")),
    });
    this.#settlements = new RedisSettlements(processRef, () => {
      const live = this.#live;
      return live && ((script, args) => live.runAside(script, args));
    });
    this.#outbox = new RedisOutbox(stats, processRef, retryTimeout, {
      name,
      outageError: (wasSent, id) => putError(errors.outage("put"), wasSent, id),
      refusal: (error, wasSent, id) => {
        const reason = this.#refusal("put", error);
        return reason && putError(reason, wasSent, id);
      },
      tooLarge: (size, limit) => errors.tooLarge("put", size, limit),
      unreplicated: (id) => errors.unreplicated(id),
      foundRoom: () => this.#awaitRoomAll(),
    });
    this.#continuation = new RedisContinuation(options, this.#settlements);
    this.#owner = {
      name,
      key: keyOf(name),
      quorum: options.quorum === true,
      outbox: this.#outbox,
      settlements: this.#settlements,
      lent: (loan) => {
        if (loan.redelivered) stats.redeliveries++;
        stats.loans++;
        this.#continuation.lent(loan);
      },
      settled: (loan) => {
        stats.loans--;
        if (loan.outcome === "accepted") stats.gets++;
        if (!this.#continuation.settled(loan)) return;
        if (loan.outcome === "accepted") return this.#settlements.accept(loan);
        this.#attachment?.getter.giveBack(); // younger messages, which must not come before it
        this.#settlements.release(loan, loan.tried);
      },
      keepsBack: (loan) => this.#continuation.keepsBack(loan),
      refusal: (action, error) => this.#refusal(action, error),
      groupOf: (group) => group === undefined ? "" : String(this.#groups.numberOf(group)),
      nextClaim: () => ++this.#lastClaim,
      notifiedOfEvent: (number, event) => this.#events.notified(number, event),
      closed: () => this.#onClosed(),
      gone: () => this.#onGone(),
    };
  }

  static async open(
    name: string,
    options: LinkOptions,
    connector: LinkSessionSource,
    stats: Stats,
  ): Promise<RedisLink> {
    const link = new RedisLink(name, options, connector, stats);
    const attach = () => link.#requests.run("attach", () => Promise.resolve());
    await openLink(link, options.signal, attach, (reason) => link.#end(reason));
    return link;
  }

  put(offer: Offer): void {
    if (this.#isGone) return offer.reject(deletedError(this.#name));
    const getter = this.#live?.getter;
    if (getter?.isPending) getter.flush(); // a claim that was withdrawn before must not get the message
    this.#outbox.put(offer);
    if (this.#live === undefined) this.#cycle.start();
  }

  take(claim: Claim): void {
    if (this.#isGone) return claim.reject(deletedError(this.#name));
    this.#wait(claim);
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#isGone) return waiter.tryAgain();
    // Puts of this link that wait for room come first.
    if (this.#outbox.isFull) this.#behindPuts.add(waiter);
    else this.#wait(waiter);
  }

  #wait(one: Claim | RoomWaiter): void {
    const live = this.#live;
    if (live !== undefined) return this.#begin(live, one);
    this.#waiting.add(one);
    this.#cycle.start();
  }

  #begin(attachment: RedisAttachment, one: Claim | RoomWaiter): void {
    if ("tryAgain" in one) return attachment.awaitRoom(one);
    if (this.#outbox.isPending) this.#outbox.flush();
    attachment.getter.take(one);
  }

  #awaitRoomAll(): void {
    this.#attachment?.fullChanged();
    if (this.#behindPuts.size === 0) return;
    const all = [...this.#behindPuts];
    this.#behindPuts.clear();
    for (const waiter of all) this.#wait(waiter);
  }

  withdraw(one: Offer | Claim | RoomWaiter): boolean {
    if ("taken" in one) return this.#outbox.withdraw(one);
    return this.#waiting.delete(one) || this.#behindPuts.delete(one as RoomWaiter) ||
      (this.#attachment?.withdraw(one) ?? false);
  }

  tryTake(isCounted: boolean): Promise<Loan | undefined> {
    if (this.#isGone) return Promise.reject(deletedError(this.#name));
    return this.#requests.run("get", (attachment) => attachment.getter.tryTake(isCounted), false);
  }

  async announce(event: Uint8Array, isControl = false): Promise<void> {
    let sent: number | undefined;
    const number = await this.#requests.run("announce", async (attachment) => {
      const { largest, session, announced } = attachment;
      const { length } = event;
      if (length > largest) throw this.#errors.tooLarge("announce", length, largest);
      if (sent !== undefined && sent <= announced) return 0; // only the answer was lost
      sent = ++this.#announcements;
      const mine = sent;
      try {
        const args = [isControl ? "1" : "0", bytesOf(event), String(sent)];
        return await attachment.run("announce", args);
      } catch (error) {
        if (!session.isLost) sent = undefined; // it was refused
        throw error;
      } finally {
        if (!session.isLost) this.#settleAnnouncements(mine);
      }
    });
    this.#events.announced(number);
  }

  /** Notes the number of an announcement, and returns how many have become settled by it. */
  #settleAnnouncements(number: number): number {
    const count = Math.max(number - this.#settledAnnouncement, 0);
    this.#settledAnnouncement += count;
    return count;
  }

  async catchUp(): Promise<void> {
    await this.#requests.run("attach", ({ session }) => session.ping());
  }

  async depth(): Promise<number> {
    return await this.#requests.run("depth", (attachment) => {
      attachment.getter.giveBack(); // they count, too
      return attachment.run("depth");
    });
  }

  async stats(): Promise<ChannelStats> {
    const [depth, loans, consumers, delayed, capacity, closed] = await this.#requests.run(
      "stats",
      (attachment) => {
        attachment.getter.giveBack(); // they are no loans
        return attachment.run("stats");
      },
    );
    return {
      depth,
      loans,
      consumers,
      delayed,
      ...capacity >= 0 ? { capacity } : {},
      closed: closed === 1,
    };
  }

  async drain(): Promise<void> {
    await this.#outbox.sent();
    await this.#requests.run("closeAll", (attachment) => attachment.run("drain"));
  }

  async delete(): Promise<void> {
    const wasGone = this.#isGone;
    this.#isGone = true; // the observer is not told of a deletion by this process
    try {
      await this.#requests.run(
        "delete",
        (attachment) => this.#settlements.replacedBy(() => attachment.runAside("remove", [])),
      );
      this.#isDeleted = true;
    } catch (error) {
      // Another process has deleted it meanwhile, or the answer was lost with a connection.
      if (error instanceof ChannelClosedError && error.reason === "delete") return;
      this.#isGone = wasGone;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#end(new Error("the link is closed"));
    if (this.#attachment === undefined) await within(closeTimeout / 2, this.#cycle.settled());
    this.#isLeft = true;
    const attachment = this.#attachment;
    if (attachment === undefined) return this.#leaveBehind();
    await this.#detach(attachment);
  }

  async #detach(attachment: RedisAttachment): Promise<void> {
    const { session } = attachment;
    session.offLost(this.#onLost);
    this.#settlements.sendAll();
    this.#attachment = undefined;
    const closed = new Error("the link is closed");
    const { asked } = attachment;
    for (const one of attachment.takeAll()) {
      rejectWaiting(one, closedMeanwhile("get", session.address, closed));
    }
    if (this.#isDeleted) return;
    if (session.isLost) return this.#leaveBehind();
    const detaching = attachment.detach(asked).catch(() => this.#leaveBehind());
    if (this.#isGone) return;
    await within(closeTimeout / 2, this.#connector.processRef.refWhile(detaching));
  }

  /** The end of the session gives back what the link has at the server, unless other connections show that the process lives. */
  #leaveBehind(): void {
    if (this.#isGone || this.#isDeleted) return;
    const holders = this.#continuation.holders;
    if (holders.length === 0) return;
    this.#connector.leave?.({ holders, ...this.#settlements.unconfirmed });
  }

  /** The attachment, if its connection is live. */
  get #live(): RedisAttachment | undefined {
    const attachment = this.#attachment;
    return attachment === undefined || attachment.session.isLost ? undefined : attachment;
  }

  /** Whether an operation waits for an attachment. */
  get #isAwaited(): boolean {
    return this.#waiting.size > 0 || this.#requests.size > 0 || this.#outbox.size > 0;
  }

  async #attach(session: LinkSession): Promise<Found> {
    const continuation = this.#continuation;
    const attachment = new RedisAttachment(session, this.#owner);
    const { isSure, wasAttached } = continuation;
    const attaching = continuation.attach(attachment);
    if (isSure) {
      attaching.catch((error) => this.#onRefused(attachment, error));
      return continuation.made(attachment);
    }
    try {
      const { processRef } = this.#connector;
      return await (this.#isAwaited ? processRef.refWhile(attaching) : attaching);
    } catch (error) {
      attachment.takeAll();
      if (session.isLost || !isMissing(error)) throw error;
      throw this.#gone("attach", wasAttached ? "delete" : "missing");
    }
  }

  #onAttached(session: LinkSession, found: Found): void {
    const { attachment, isClosed, isLeased, due, events } = found;
    const { wasAttached } = this.#continuation;
    this.#attachment = attachment;
    this.#continuation.attached(found);
    session.onLost(this.#onLost);
    if (this.#cycle.isEnded) { // `close` waits for this, and undoes it
      if (this.#isLeft) this.#detach(attachment); // it has waited too long
      return;
    }
    if (isLeased) attachment.keep();
    this.#continuation.resumeSettlements(found);
    if (isClosed) this.#outbox.closed();
    this.#outbox.open(attachment);
    for (const one of this.#waiting.takeAll()) this.#begin(attachment, one);
    this.#requests.runAll(attachment);
    attachment.noteDue(due);
    this.#events.attached(events, wasAttached, this.#settleAnnouncements(attachment.announced));
  }

  readonly #onLost = (): void => {
    const { session } = this.#attachment!;
    this.#leave();
    this.#cycle.lost(session);
  };

  /** The server has refused the attachment for which the link has not waited, and with it what followed. */
  #onRefused(attachment: RedisAttachment, error: unknown): void {
    const { session } = attachment;
    if (this.#attachment !== attachment || session.isLost) return;
    this.#continuation.refused();
    session.offLost(this.#onLost);
    this.#leave();
    this.#cycle.refused(session, error);
  }

  /** What waits on the attachment will wait for the next one. */
  #leave(): void {
    const attachment = this.#attachment!;
    this.#attachment = undefined;
    this.#events.lost();
    this.#outbox.lost();
    this.#continuation.left(attachment);
    for (const one of attachment.takeAll()) this.#waiting.add(one);
    this.#awaitRoomAll();
  }

  #onClosed(): void {
    this.#outbox.closed();
    this.#attachment?.tellAll();
  }

  #onGone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#options.observer.gone();
  }

  /** Records that the channel is gone, and returns the error that says so. */
  #gone(action: string, reason: "delete" | "missing"): ChannelClosedError {
    if (reason === "delete") this.#onGone();
    return this.#errors.gone(action, reason);
  }

  /** Returns the error for what the server has refused; undefined if the connection is lost. */
  #refusal(action: string, error: unknown): ChannelError | undefined {
    if (isMissing(error)) {
      this.#onGone();
      return deletedError(this.#name);
    }
    return this.#live === undefined ? undefined : this.#errors.refused(action, error);
  }

  #end(reason: Error): void {
    if (this.#cycle.isEnded) return;
    this.#cycle.end();
    this.#rejectAll((action) => closedMeanwhile(action, this.#connector.address, reason));
  }

  #expire(pause: number): void {
    this.#outbox.expire(pause);
    this.#waiting.expire(pause);
    this.#requests.expire(pause);
  }

  #rejectAll(make: (action: string) => ChannelError): void {
    this.#outbox.rejectAll((wasSent, id) => putError(make("put"), wasSent, id));
    for (const one of this.#waiting.takeAll()) rejectWaiting(one, make("get"));
    this.#requests.rejectAll(make);
  }
}

/** Rejects what waits. A waiter for room is told to look again, and its operation learns what is wrong. */
function rejectWaiting(one: Claim | RoomWaiter, error: Error): void {
  if ("tryAgain" in one) one.tryAgain();
  else one.reject(error);
}

function bytesOf(event: Uint8Array): Buffer {
  return Buffer.from(event.buffer, event.byteOffset, event.byteLength);
}
