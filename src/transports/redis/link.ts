import { Buffer } from "node:buffer";
import { deletedError, deletedText, missingText } from "../../shared/closed_errors.ts";
import { copyOfError } from "../../shared/error_copies.ts";
import { ChannelClosedError, type ChannelError } from "../../shared/errors.ts";
import { closeTimeout, within } from "../../shared/timeouts.ts";
import { AttachCycle } from "../remote/attach_cycle.ts";
import { Deadlines } from "../remote/deadlines.ts";
import { closedMeanwhile, outage, unknownOutcome } from "../remote/outage.ts";
import { PendingRequests } from "../remote/pending_requests.ts";
import type { SessionSource } from "../remote/session_source.ts";
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
import { isMissing, isUnavailable, refusedBy, tooLarge, underReplicated } from "./failure.ts";
import type { RedisLoan } from "./loan.ts";
import { RedisAttachment, type RedisAttachmentOwner } from "./redis_attachment.ts";
import { RedisOutbox } from "./redis_outbox.ts";
import { RedisSettlements } from "./redis_settlements.ts";
import type { LinkSession } from "./link_session.ts";
import { plainBytes } from "./stored_message.ts";

/** What an attachment has found. */
interface Found {
  readonly attachment: RedisAttachment;
  readonly isClosed: boolean;
  readonly isLeased: boolean;
  /** The number of events that were announced, and the number and the bytes of the last control event. */
  readonly events: number;
  readonly control: number;
  readonly controlEvent: Uint8Array;
  readonly due: number;
  /** The numbers of the messages that the link held before and holds still. */
  readonly kept: ReadonlySet<string>;
}

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
  readonly #key: string;
  readonly #options: LinkOptions;
  readonly #connector: SessionSource<LinkSession>;
  readonly #cycle: AttachCycle<LinkSession, Found>;
  readonly #outbox: RedisOutbox;
  readonly #settlements: RedisSettlements;
  readonly #waiting: Deadlines<Claim | RoomWaiter>;
  readonly #requests: PendingRequests<RedisAttachment>;
  readonly #owner: RedisAttachmentOwner;
  readonly #groups = new WeakMap<object, number>();
  /** The loans that claimants hold. */
  readonly #held = new Map<string, RedisLoan>();
  /** Waiters for room that wait until the puts of this link have found it. */
  readonly #behindPuts = new Set<RoomWaiter>();
  #attachment: RedisAttachment | undefined;
  #lastGroup = 0;
  #lastClaim = 0;
  /** What the former attachments have asked for, as the server notes it. */
  #asked: string[] = [];
  /** The epoch of the channel, once the link was attached. */
  #epoch = "";
  /** The holders of the last attachment, and of attempts since: their answers may have been lost after they took effect. */
  #formers: string[] = [];
  /** Whether the server has refused an attachment for which the link has not waited. */
  #wasRefused = false;
  #isGone = false;
  /** The numbers of the last event that this link knows, and of the last control event. */
  #events = 0;
  #control = 0;

  private constructor(
    name: string,
    options: LinkOptions,
    connector: SessionSource<LinkSession>,
    stats: Stats,
    putter: string,
  ) {
    this.#name = name;
    this.#key = keyOf(name);
    this.#options = options;
    this.#connector = connector;
    const { processRef, address } = connector;
    const { retryTimeout, observer } = options;
    this.#cycle = new AttachCycle(connector, {
      attach: (session) => this.#attach(session),
      attached: (session, found) => this.#onAttached(session, found),
      postponed: (pause) => this.#expire(pause),
      failed: (error) => this.#rejectAll(() => copyOfError(error) as ChannelError),
      mayPass: isUnavailable,
      explain: (error) => this.#explain("attach", error),
    });
    this.#waiting = new Deadlines(retryTimeout, processRef, (one) => {
      rejectWaiting(one, this.#outage("get"));
    });
    this.#requests = new PendingRequests(retryTimeout, processRef, {
      attached: () => this.#live,
      isEnded: () => this.#cycle.isEnded,
      start: () => this.#cycle.start(),
      perform: (_action, _attachment, request) => request(),
      meaning: (error, isLost) =>
        isLost ? "lost" : isMissing(error) ? "gone" : isUnavailable(error) ? "later" : "refused",
      gone: (action) => this.#gone(action, "delete"),
      explain: (action, error) => this.#explain(action, error),
      outage: (action) => this.#outage(action),
      ended: (action) => closedMeanwhile(action, address, new Error("the link is closed")),
    });
    this.#settlements = new RedisSettlements(processRef, () => {
      const live = this.#live;
      return live && ((script, args) => live.runAside(script, args));
    });
    this.#outbox = new RedisOutbox(stats, processRef, retryTimeout, putter, {
      name,
      outageError: (wasSent, id) => this.#putError(this.#outage("put"), wasSent, id),
      refusal: (error, wasSent, id) => {
        const reason = this.#refusal("put", error);
        return reason && this.#putError(reason, wasSent, id);
      },
      tooLarge: (size, limit) => tooLarge(this.#actionOf("put"), connector.address, size, limit),
      unreplicated: (id) => {
        const error = underReplicated(this.#actionOf("put"), this.#connector.address);
        return this.#putError(error, true, id);
      },
      foundRoom: () => this.#awaitRoomAll(),
    });
    this.#owner = {
      name,
      key: this.#key,
      quorum: options.quorum === true,
      outbox: this.#outbox,
      settlements: this.#settlements,
      lent: (loan) => {
        if (loan.redelivered) stats.redeliveries++;
        stats.loans++;
        this.#held.set(loan.seq, loan);
      },
      settled: (loan) => {
        stats.loans--;
        if (loan.outcome === "accepted") stats.gets++;
        if (this.#held.get(loan.seq) !== loan) return; // another process has it, or another message its number
        this.#held.delete(loan.seq);
        if (loan.outcome === "accepted") return this.#settlements.accept(loan);
        this.#attachment?.getter.giveBack(); // younger messages, which must not come before it
        this.#settlements.release(loan, loan.tried);
      },
      refusal: (action, error) => this.#refusal(action, error),
      groupOf: (group) => this.#groupOf(group),
      nextClaim: () => ++this.#lastClaim,
      said: (number, event) => {
        this.#events = Math.max(this.#events, number);
        observer.announced(plainBytes(event));
      },
      closed: () => this.#onClosed(),
      gone: () => this.#onGone(),
    };
  }

  static async open(
    name: string,
    options: LinkOptions,
    connector: SessionSource<LinkSession>,
    stats: Stats,
    putter: string,
  ): Promise<RedisLink> {
    const link = new RedisLink(name, options, connector, stats, putter);
    const { signal } = options;
    const onAbort = () => link.#end(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      await link.#requests.run("attach", () => Promise.resolve());
      return link;
    } catch (error) {
      link.#end(error as Error);
      link.close().catch(() => {}); // an attachment may be under way, and succeed
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
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
    const number = await this.#requests.run(
      "announce",
      (attachment) => {
        const { largest } = attachment;
        if (event.length > largest) {
          const error = tooLarge(
            this.#actionOf("announce"),
            this.#connector.address,
            event.length,
            largest,
          );
          return Promise.reject(error);
        }
        return attachment.run("announce", [isControl ? "1" : "0", bytesOf(event)]);
      },
    );
    this.#events = Math.max(this.#events, number);
    if (isControl) this.#control = Math.max(this.#control, number);
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
      await this.#requests.run("delete", (attachment) => attachment.run("remove"));
    } catch (error) {
      // Another process has deleted it meanwhile, or the answer was lost with a connection.
      if (error instanceof ChannelClosedError && error.reason === "delete") return;
      this.#isGone = wasGone;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#end(new Error("the link is closed"));
    await within(closeTimeout / 2, this.#cycle.settled());
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    const { session } = attachment;
    session.offLost(this.#onLost);
    this.#settlements.sendAll();
    this.#attachment = undefined;
    const closed = new Error("the link is closed");
    const { asked } = attachment;
    for (const one of attachment.takeAll()) {
      rejectWaiting(one, closedMeanwhile("get", session.address, closed));
    }
    if (session.isLost) return;
    const detaching = attachment.runAside("detach", [this.#outbox.putter, ...asked]).catch(
      () => {},
    );
    if (this.#isGone) return;
    await within(closeTimeout / 2, this.#connector.processRef.refWhile(detaching));
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
    const { create, lease, capacity, isNew } = this.#options;
    // A new name whose attachment was not answered is made again, as it may never have been made.
    if (this.#epoch === unknownEpoch) this.#epoch = "";
    const wasAttached = this.#epoch !== "";
    const attachment = new RedisAttachment(session, unknownEpoch, this.#owner);
    const messages = wasAttached ? [...this.#held.values(), ...this.#settlements.messages] : [];
    const attaching = session.run("attach", this.#key, [
      attachment.holder,
      this.#epoch,
      create ? "1" : "0",
      randomText(),
      lease === undefined ? "" : String(lease),
      capacity === undefined ? "" : String(capacity),
      this.#formers.join(" "),
      String(messages.length),
      ...messages.flatMap(({ entry, id = "" }) => [entry, id]),
      ...this.#asked,
    ]);
    this.#formers.push(attachment.holder);
    if (isNew && create && !wasAttached && !this.#wasRefused) {
      attaching.then(
        ([epoch]) => this.#epoch = attachment.epoch = String(epoch),
        (error) => this.#onRefused(attachment, error),
      );
      attachment.capacity = capacity;
      return {
        attachment,
        isClosed: false,
        isLeased: lease !== undefined,
        events: 0,
        control: 0,
        controlEvent: new Uint8Array(),
        due: -1,
        kept: new Set(),
      };
    }
    try {
      const reply =
        await (this.#isAwaited ? this.#connector.processRef.refWhile(attaching) : attaching);
      const [epoch, bound, closed, events, control, controlEvent, due, kept, leased] = reply;
      attachment.epoch = String(epoch);
      attachment.capacity = bound < 0 ? undefined : bound;
      return {
        attachment,
        isClosed: closed === 1,
        isLeased: leased === 1,
        events,
        control,
        controlEvent,
        due,
        kept: new Set(messages.filter((_, i) => kept[i] === 1).map(({ seq }) => seq)),
      };
    } catch (error) {
      attachment.takeAll();
      if (!session.isLost) this.#formers.pop(); // it has no effect
      if (session.isLost || !isMissing(error)) throw error;
      throw this.#gone("attach", wasAttached ? "delete" : "missing");
    }
  }

  #onAttached(session: LinkSession, found: Found): void {
    const { attachment } = found;
    const wasAttached = this.#epoch !== "";
    this.#attachment = attachment;
    this.#epoch = attachment.epoch;
    this.#formers = [attachment.holder];
    this.#asked = [];
    session.onLost(this.#onLost);
    if (this.#cycle.isEnded) return; // `close` waits for this, and undoes it
    for (const [seq] of [...this.#held]) {
      if (wasAttached && !found.kept.has(seq)) this.#held.delete(seq); // another process has it
    }
    if (found.isLeased) attachment.keep();
    this.#settlements.resume((seq) => found.kept.has(seq));
    if (found.isClosed) this.#outbox.closed();
    this.#outbox.open(attachment);
    for (const one of this.#waiting.takeAll()) this.#begin(attachment, one);
    this.#requests.runAll(attachment);
    attachment.noteDue(found.due);
    if (wasAttached) this.#tellMissed(found);
    this.#events = found.events;
    this.#control = found.control;
  }

  /** Tells the observer what was announced while the link was not attached. */
  #tellMissed({ events, control, controlEvent }: Found): void {
    const { observer } = this.#options;
    const isControl = control > this.#control;
    const missed = events - this.#events - (isControl ? 1 : 0);
    if (missed > 0) observer.missed(missed);
    if (isControl) observer.announced(plainBytes(controlEvent));
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
    this.#wasRefused = true;
    this.#formers.pop();
    session.offLost(this.#onLost);
    this.#leave();
    this.#cycle.refused(session, error);
  }

  /** What waits on the attachment will wait for the next one. */
  #leave(): void {
    const attachment = this.#attachment!;
    this.#attachment = undefined;
    this.#outbox.lost();
    this.#asked.push(...attachment.asked);
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
    const outcome = reason === "delete" ? deletedText : missingText;
    return new ChannelClosedError(`${action}: channel ${this.#name} ${outcome}`, { reason });
  }

  /** Returns the error for what the server has refused; undefined if the connection is lost. */
  #refusal(action: string, error: unknown): ChannelError | undefined {
    if (isMissing(error)) {
      this.#onGone();
      return deletedError(this.#name);
    }
    const live = this.#live;
    if (live === undefined) return undefined;
    return this.#explain(action, error);
  }

  #explain(action: string, error: unknown): ChannelError {
    return refusedBy(this.#actionOf(action), this.#connector.address, error);
  }

  #actionOf(action: string): string {
    return `${action} on channel ${this.#name}`;
  }

  /** Returns the error of an operation that has waited for an attachment for too long. */
  #outage(action: string): ChannelError {
    const { refusal, loss } = this.#cycle;
    if (refusal !== undefined) return this.#explain(action, refusal);
    const { address, trouble = loss } = this.#connector;
    return outage(this.#actionOf(action), { address, trouble });
  }

  #putError(error: ChannelError, wasSent: boolean, id: string | undefined): ChannelError {
    return wasSent ? unknownOutcome(error, id) : error;
  }

  #groupOf(group: object | undefined): string {
    if (group === undefined) return "";
    let number = this.#groups.get(group);
    if (number === undefined) this.#groups.set(group, number = ++this.#lastGroup);
    return String(number);
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
    this.#outbox.rejectAll((wasSent, id) => this.#putError(make("put"), wasSent, id));
    for (const one of this.#waiting.takeAll()) rejectWaiting(one, make("get"));
    this.#requests.rejectAll(make);
  }
}

/** Rejects what waits. A waiter for room is told to look again, and its operation learns what is wrong. */
function rejectWaiting(one: Claim | RoomWaiter, error: Error): void {
  if ("tryAgain" in one) one.tryAgain();
  else one.reject(error);
}

/** Stands for any epoch: that of a channel whose attachment is not answered. */
const unknownEpoch = "*";

function bytesOf(event: Uint8Array): Buffer {
  return Buffer.from(event.buffer, event.byteOffset, event.byteLength);
}

function randomText(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
