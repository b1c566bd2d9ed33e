import { deletedError } from "../../shared/closed_errors.ts";
import { copyOfError } from "../../shared/error_copies.ts";
import { ChannelClosedError, ChannelConnectionError, ChannelError } from "../../shared/errors.ts";
import { AttachCycle } from "../remote/attach_cycle.ts";
import type { Connector } from "../remote/connector.ts";
import { Deadlines } from "../remote/deadlines.ts";
import { Deduplication } from "../remote/deduplication.ts";
import { closedMeanwhile, goneError, outage, putError } from "../remote/outage.ts";
import { Groups } from "../remote/groups.ts";
import { openLink } from "../remote/open_link.ts";
import { PendingRequests } from "../remote/pending_requests.ts";
import type {
  ChannelStats,
  Claim,
  EmptyWaiter,
  Link,
  LinkOptions,
  Loan,
  Offer,
  RoomWaiter,
  Stats,
} from "../transport.ts";
import { droppedCopyText } from "../dropped_copy.ts";
import { fieldsOf, HomeAttachment, type HomeAttachmentOwner } from "./home_attachment.ts";
import { HomeOutbox } from "./home_outbox.ts";
import { countField, statsOf } from "./protocol/fields.ts";
import type { Frame } from "./protocol/frame.ts";
import { errorOf } from "./protocol/wire_error.ts";
import { beginWaiting, rejectWaiting, type Waiter } from "./home_waiters.ts";
import type { HomeLoan } from "./loan.ts";
import type { HomeSession } from "./session.ts";
import { sizeError } from "./size_error.ts";

/**
 * This process's attachment to one channel of a home, over all connections. After the loss of a connection the link
 * attaches again on the next, sends the puts again that the home has not taken, and claims again. An operation that has
 * waited for `retryTimeout` rejects.
 *
 * Invariants: an operation that waits is in the outbox, in `#waiting`, in `#requests`, or in the attachment, and holds
 * the process alive. While one of them waits and the link is not attached, the cycle attaches it, unless the link is
 * closed.
 */
export class HomeLink implements Link {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #connector: Connector<HomeSession>;
  readonly #cycle: AttachCycle<HomeSession, HomeAttachment>;
  readonly #outbox: HomeOutbox;
  readonly #waiting: Deadlines<Waiter>;
  readonly #requests: PendingRequests<HomeAttachment>;
  readonly #groups = new Groups();
  readonly #owner: HomeAttachmentOwner;
  /** Waiters for room that wait until the puts of this link have found it. */
  readonly #behindPuts = new Set<RoomWaiter>();
  #attachment: HomeAttachment | undefined;
  /** Whether the home was asked to open the channel, and whether it has said that it has. */
  #hasAsked = false;
  #wasOpened = false;
  #isGone = false;
  /** Why the home has not opened a new channel, with whose link operations have begun. */
  #openError: ChannelError | undefined;
  /** The number of connections that were lost. */
  #losses = 0;

  private constructor(
    name: string,
    options: LinkOptions,
    connector: Connector<HomeSession>,
    stats: Stats,
  ) {
    this.#name = name;
    this.#options = options;
    this.#connector = connector;
    const { processRef, address } = connector;
    const { retryTimeout } = options;
    this.#cycle = new AttachCycle(connector, {
      attach: (session) => this.#attach(session),
      attached: (session, attachment) => this.#onAttached(session, attachment),
      postponed: (pause) => this.#expire(pause),
      failed: (error) => this.#rejectAll(() => copyOfError(error) as ChannelError),
      mayPass: (refusal) => this.#mayPass(refusal),
      explain: (error) => this.#explain("attach", error),
    });
    this.#waiting = new Deadlines(retryTimeout, processRef, (one) => {
      rejectWaiting(one, (action) => this.#outage(action));
    });
    this.#requests = new PendingRequests(retryTimeout, processRef, {
      attached: () => this.#live,
      isEnded: () => this.#cycle.isEnded,
      start: () => this.#cycle.start(),
      perform: (_action, _attachment, request) => request(),
      meaning: (error, isLost) => isLost ? "lost" : isTransient(error) ? "later" : "refused",
      gone: () => deletedError(name),
      explain: (action, error) => this.#explain(action, error),
      outage: (action) => this.#outage(action),
      ended: (action) => closedMeanwhile(action, address, new Error("the link is closed")),
    });
    this.#outbox = new HomeOutbox(stats, processRef, retryTimeout, {
      outageError: (wasSent, id) => putError(this.#outage("put"), wasSent, id),
      sizeError: (size, session) => sizeError("put", name, size, session),
      refusal: (frame) => this.#refusal(frame),
      foundRoom: () => this.#awaitRoomAll(),
    });
    const deduplication = new Deduplication<HomeLoan>();
    this.#owner = {
      deduplication,
      droppedCopy: () => connector.note(droppedCopyText(name, address)),
      claimsSent: () => this.#outbox.mayPut(),
      lent({ redelivered }) {
        if (redelivered) stats.redeliveries++;
        stats.loans++;
      },
      accepted(loan, isMoved) {
        stats.gets++;
        stats.loans--;
        deduplication.unhold(loan);
        if (!isMoved) deduplication.remember(loan);
      },
      released: (loan) => {
        stats.loans--;
        deduplication.unhold(loan);
        this.#attachment?.giveBack(); // younger messages, which must not come before it
      },
      refusal: (_action, frame) => this.#refusal(frame),
      said: (event) => options.observer.announced(event),
      missed: (count) => options.observer.missed(count),
      gone: () => this.#onGone(),
    };
  }

  static async open(
    name: string,
    options: LinkOptions,
    connector: Connector<HomeSession>,
    stats: Stats,
  ): Promise<HomeLink> {
    const link = new HomeLink(name, options, connector, stats);
    const attach = () => link.#requests.run("attach", () => Promise.resolve());
    await openLink(link, options.signal, attach, (reason) => link.#end(reason));
    return link;
  }

  put(offer: Offer): void {
    if (this.#isGone) return offer.reject(deletedError(this.#name));
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

  awaitEmpty(waiter: EmptyWaiter): void {
    if (this.#isGone) return waiter.reject(deletedError(this.#name));
    this.#wait(waiter);
  }

  #wait(one: Waiter): void {
    const live = this.#live;
    if (live !== undefined) return beginWaiting(live, one);
    this.#waiting.add(one);
    this.#cycle.start();
  }

  #awaitRoomAll(): void {
    if (this.#behindPuts.size === 0) return;
    const all = [...this.#behindPuts];
    this.#behindPuts.clear();
    for (const waiter of all) this.#wait(waiter);
  }

  withdraw(one: Offer | Waiter): boolean {
    if ("taken" in one) return this.#outbox.withdraw(one);
    return this.#waiting.delete(one) || this.#behindPuts.delete(one as RoomWaiter) ||
      (this.#attachment?.withdraw(one) ?? false);
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return this.#requests.run("get", (attachment) => attachment.tryTake(counted), false);
  }

  async announce(event: Uint8Array, isControl = false): Promise<void> {
    let once: number | undefined;
    await this.#requests.run("announce", (attachment) => {
      const { session } = attachment;
      const error = sizeError("announce", this.#name, event.length, session);
      if (error !== undefined) throw error;
      once ??= session.newNumber();
      const fields = fieldsOf({ once, ...isControl ? { control: true } : {} });
      return attachment.request("announce", "SAY", ignore, { fields, body: event });
    });
  }

  async catchUp(): Promise<void> {
    try {
      await this.#request("attach", "SYNC");
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error;
      this.#onGone(); // every event of the channel was observed, and its end is the last
    }
  }

  async depth(): Promise<number> {
    return await this.#requests.run("depth", async (attachment) => {
      await attachment.giveBack(); // they count, too
      return await attachment.request(
        "depth",
        "DEPTH",
        ({ fields }) => countField(fields, "value") ?? 0,
      );
    });
  }

  async stats(): Promise<ChannelStats> {
    return await this.#requests.run("stats", async (attachment) => {
      await attachment.giveBack(); // they would count as on loan
      return await attachment.request("stats", "STATS", ({ fields }) => statsOf(fields));
    });
  }

  async drain(): Promise<void> {
    await this.#outbox.sent();
    await this.#request("closeAll", "DRAIN");
  }

  async delete(): Promise<void> {
    const wasGone = this.#isGone;
    const losses = this.#losses;
    this.#isGone = true; // the observer is not told of a deletion by this process
    try {
      await this.#request("delete", "DELETE");
    } catch (error) {
      // If the answer was lost with a connection, the channel is missing now.
      if (error instanceof ChannelClosedError && this.#losses > losses) return;
      this.#isGone = wasGone;
      throw error;
    }
  }

  #request(action: string, word: string): Promise<void> {
    return this.#requests.run(action, (attachment) => attachment.request(action, word, ignore));
  }

  async close(): Promise<void> {
    this.#end(new Error("the link is closed"));
    await this.#cycle.settled();
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    this.#attachment = undefined;
    const { session } = attachment;
    session.offLost(this.#onLost);
    for (const one of attachment.takeAll()) {
      const why = new Error("the link is closed");
      rejectWaiting(one, (action) => closedMeanwhile(action, session.address, why));
    }
    if (session.isLost) return;
    const closing = attachment.request("close", "CLOSE", ignore).catch(() => {});
    // The link of a deleted channel holds nothing.
    if (!this.#isGone) await this.#connector.processRef.refWhile(closing);
    session.removeLink(attachment.number);
  }

  /** The attachment, if its connection is live. */
  get #live(): HomeAttachment | undefined {
    const attachment = this.#attachment;
    return attachment === undefined || attachment.session.isLost ? undefined : attachment;
  }

  /** Whether an operation waits for an attachment. */
  get #isAwaited(): boolean {
    return this.#waiting.size > 0 || this.#requests.size > 0 || this.#outbox.size > 0;
  }

  async #attach(session: HomeSession): Promise<HomeAttachment> {
    const { create, capacity, lease, quorum } = this.#options;
    const isNew = this.#options.isNew === true && !this.#hasAsked;
    this.#hasAsked = true;
    const attachment = new HomeAttachment(session, this.#owner, this.#groups);
    const fields = fieldsOf({
      name: this.#name,
      // A channel without a name of its own is lost with the home that had it.
      create: create && !(this.#wasOpened && lease !== undefined),
      capacity,
      lease,
      isNew: isNew || undefined,
      quorum,
    });
    const opening = attachment.request("attach", "OPEN", () => void (this.#wasOpened = true), {
      fields,
    });
    if (isNew) { // nothing but a refusal of the home can keep the link from opening
      opening.catch((error) => this.#openError = session.isLost ? undefined : error);
      return attachment;
    }
    try {
      await (this.#isAwaited ? this.#connector.processRef.refWhile(opening) : opening);
      return attachment;
    } catch (error) {
      session.removeLink(attachment.number);
      const isMissing = error instanceof ChannelClosedError && error.reason === "missing";
      if (!isMissing) throw error;
      throw this.#gone(this.#wasOpened ? "delete" : "missing");
    }
  }

  #onAttached(session: HomeSession, attachment: HomeAttachment): void {
    this.#attachment = attachment;
    session.onLost(this.#onLost);
    if (this.#cycle.isEnded) return; // `close` waits for this, and undoes it
    this.#outbox.open({
      session,
      link: attachment.number,
      hasClaimsHere: () => attachment.hasClaimsHere,
    });
    for (const one of this.#waiting.takeAll()) beginWaiting(attachment, one);
    this.#requests.runAll(attachment);
  }

  readonly #onLost = (): void => {
    const attachment = this.#attachment!;
    this.#attachment = undefined;
    this.#losses++;
    this.#openError = undefined;
    this.#outbox.close();
    for (const one of attachment.takeAll()) this.#waiting.add(one);
    this.#awaitRoomAll();
    this.#cycle.lost(attachment.session);
  };

  /**
   * Returns the error that the home has answered. A channel that is missing later has been deleted; its handles learn of
   * that before the operation rejects.
   */
  #refusal(frame: Frame): ChannelError {
    if (this.#openError !== undefined) return copyOfError(this.#openError) as ChannelError;
    const error = errorOf(frame, this.#connector.address);
    if (!(error instanceof ChannelClosedError) || this.#attachment === undefined) return error;
    if (error.reason === "missing" || error.reason === "delete") this.#onGone();
    return error.reason === "missing" ? deletedError(this.#name) : error;
  }

  #onGone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#options.observer.gone();
  }

  /** Records that the channel is gone as the link attaches, and returns the error that says so. */
  #gone(reason: "delete" | "missing"): ChannelClosedError {
    if (reason === "delete") this.#onGone();
    return goneError("attach", this.#name, reason);
  }

  /** Reports whether an attempt to attach is worth repeating. */
  #mayPass(refusal: unknown): boolean {
    if (isTransient(refusal)) return true;
    // The channel is being deleted or closed as this link attaches, and is created anew then.
    return refusal instanceof ChannelClosedError && this.#options.create && !this.#isGone &&
      (refusal.reason === "delete" || refusal.reason === "closeAll" || refusal.reason === "close");
  }

  #explain(action: string, error: unknown): ChannelError {
    if (error instanceof ChannelError) return error;
    const { address } = this.#connector;
    return new ChannelConnectionError(`${action} on channel ${this.#name}: ${String(error)}`, {
      address,
      cause: error,
    });
  }

  /** Returns the error of an operation that has waited for an attachment for too long. */
  #outage(action: string): ChannelError {
    const { refusal, loss } = this.#cycle;
    if (refusal instanceof ChannelError) return copyOfError(refusal) as ChannelError;
    const { address, trouble = loss } = this.#connector;
    return outage(`${action} on channel ${this.#name}`, { address, trouble });
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
    for (const one of this.#waiting.takeAll()) rejectWaiting(one, make);
    this.#requests.rejectAll(make);
  }
}

/** Reads an answer that says nothing but that the request is done. */
function ignore(): void {}

function isTransient(error: unknown): boolean {
  return error instanceof ChannelConnectionError && error.transient;
}
