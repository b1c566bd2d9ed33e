import { clearInterval, setInterval, setTimeout } from "node:timers";
import { backOff } from "../../shared/backoff.ts";
import { drainedError } from "../../shared/closed_errors.ts";
import { copyOfError } from "../../shared/error_copies.ts";
import { type ChannelClosedError, ChannelError } from "../../shared/errors.ts";
import { closeTimeout, reachTimeout, within } from "../../shared/timeouts.ts";
import { AttachCycle } from "../remote/attach_cycle.ts";
import { Deadlines } from "../remote/deadlines.ts";
import { openLink } from "../remote/open_link.ts";
import { closedMeanwhile, goneError, outage, putError, unknownOutcome } from "../remote/outage.ts";
import { type FailureMeaning, PendingRequests } from "../remote/pending_requests.ts";
import type { ChannelStats, Claim, Link, LinkOptions, Loan, Offer, Stats } from "../transport.ts";
import { droppedCopyText } from "../dropped_copy.ts";
import { Announcer } from "./announcer.ts";
import type { Listener } from "./connection/announcement_queue.ts";
import type { AmqpConnector } from "./connection/amqp_connector.ts";
import { type BrokerOperation, RepeatedLossError } from "./connection/culprit_finder.ts";
import { Route } from "./connection/frames.ts";
import type { Session } from "./connection/session.ts";
import { isMissing, mayPass, refusedBy } from "./failure.ts";
import { Deduplication } from "../remote/deduplication.ts";
import type { AmqpLoan } from "./gets/loan.ts";
import { type AttachmentOwner, LinkAttachment } from "./link_attachment.ts";
import { Outbox } from "./puts/outbox.ts";
import { drainType, markerExpiry, markerOf, placeMarker } from "./topology/closed_marker.ts";
import { counts, depth } from "./topology/queues.ts";
import * as topology from "./topology/topology.ts";

/**
 * This process's attachment to one queue and its exchange, over all connections. After the loss of a connection the
 * link attaches again on the next, sends the unconfirmed puts again, and serves the claims that wait. An operation that
 * has waited for `retryTimeout` rejects.
 *
 * Invariants: an operation that waits is in the outbox, in `#claims` or in `#requests`, and holds the process alive.
 * While one of them waits and the link is not attached, the cycle attaches it, unless the link is closed.
 */
export class AmqpLink implements Link {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #connector: AmqpConnector;
  readonly #cycle: AttachCycle<Session, topology.Found>;
  readonly #outbox: Outbox;
  /** The claims that wait for a connection. */
  readonly #claims: Deadlines<Claim>;
  readonly #requests: PendingRequests<LinkAttachment>;
  readonly #announcer: Announcer;
  /** By action. An operation remembers the connections that were lost during it. */
  readonly #operations = new Map<string, BrokerOperation>();
  /** Whether anything was announced on the channel, as far as this process knows. */
  #hasAnnounced = false;
  #attachment: LinkAttachment | undefined;
  #wasAttached = false;
  #isGone = false;
  #isDeletedHere = false;
  /** Whether the channel is closed by a drain. */
  #isClosed = false;
  /** This link, as its attachments know it. */
  readonly #owner: AttachmentOwner;
  #leaseTimer: ReturnType<typeof setInterval> | undefined;

  private constructor(name: string, options: LinkOptions, connector: AmqpConnector, stats: Stats) {
    this.#name = name;
    this.#options = options;
    this.#connector = connector;
    const { processRef, address } = connector;
    const { retryTimeout } = options;
    this.#cycle = new AttachCycle(connector, {
      attach: (session) => this.#attach(session),
      attached: (session, found) => this.#onAttached(session, found),
      postponed: (pause) => this.#expire(pause),
      failed: (error) => this.#rejectAll(() => copyOfError(error) as ChannelError),
      // A part that was just created is missing only because another process deletes the channel at the same time.
      mayPass: (refusal) => mayPass(refusal) || isMissing(refusal),
      explain: (error) => this.#explain("attach", error),
    });
    this.#claims = new Deadlines(
      retryTimeout,
      processRef,
      (claim) => claim.reject(this.#outage("get")),
    );
    this.#requests = new PendingRequests(retryTimeout, processRef, {
      attached: () => this.#live,
      isEnded: () => this.#cycle.isEnded,
      start: () => this.#cycle.start(),
      refusesRepeated: true,
      perform: (action, { session }, request) => session.run(this.#operation(action), request),
      meaning: meaningOf,
      gone: (action) => this.#gone(action),
      explain: (action, error) => this.#explain(action, error),
      outage: (action) => this.#outage(action),
      ended: (action) => closedMeanwhile(action, address, new Error("the link is closed")),
    });
    this.#announcer = new Announcer({
      name,
      address,
      publish: (events) => this.#publish(events),
    });
    this.#outbox = new Outbox(new Route(name), stats, processRef, retryTimeout, {
      outageError: (wasSent, id) => putError(this.#outage("put"), wasSent, id),
      lossError: (count, id) => {
        const loss = new RepeatedLossError(this.#cycle.loss!, count);
        return unknownOutcome(this.#explain("put", loss), id);
      },
      checkQueue: () => this.#onReturned(),
      refusalError: (error, wasSent, id) => putError(this.#explain("put", error), wasSent, id),
      isFull: () => this.#isFull(),
    });
    this.#owner = {
      name,
      outbox: this.#outbox,
      deduplication: new Deduplication<AmqpLoan>(),
      stats,
      held: { count: 0 },
      droppedCopy: () => connector.note(droppedCopyText(name, address)),
      operation: (action) => this.#operation(action),
      gone: (action) => this.#gone(action),
      explain: (action, error) => this.#explain(action, error),
    };
  }

  static async open(
    name: string,
    options: LinkOptions,
    connector: AmqpConnector,
    stats: Stats,
  ): Promise<AmqpLink> {
    const link = new AmqpLink(name, options, connector, stats);
    const attach = () => link.#requests.run("attach", () => Promise.resolve());
    await openLink(link, options.signal, attach, (reason) => link.#end(reason));
    // If the signal was aborted at the same moment, the link has ended, and the caller closes it.
    if (!link.#cycle.isEnded) link.#startLease();
    return link;
  }

  put(offer: Offer): void {
    if (this.#isClosed) return offer.reject(drainedError(this.#name));
    this.#outbox.put(offer);
    if (this.#live === undefined) this.#cycle.start();
  }

  take(claim: Claim): void {
    const live = this.#live;
    if (live !== undefined) return live.take(claim);
    this.#claims.add(claim);
    this.#cycle.start();
  }

  withdraw(one: Offer | Claim): boolean {
    if ("taken" in one) return this.#outbox.withdraw(one);
    return this.#claims.delete(one) || (this.#attachment?.withdraw(one) ?? false);
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return this.#requests.run("get", (attachment) => attachment.tryTake(counted), false);
  }

  async announce(event: Uint8Array): Promise<void> {
    this.#hasAnnounced = true;
    await this.#announcer.announce(event);
  }

  async #publish(events: readonly Uint8Array[]): Promise<void> {
    let all: topology.Announcement[] | undefined; // if they are sent again, they have the same ids
    const hasArrived = await this.#requests.run("announce", ({ session, lifetime }) => {
      all ??= events.map((event) => ({ event, messageId: session.nextId() }));
      return topology.announce(session, this.#name, all, { lifetime, isClosed: this.#isClosed });
    });
    if (!hasArrived) throw this.#gone("announce");
  }

  async catchUp(): Promise<void> {
    await this.#requests.run("attach", ({ session }) => session.announcements.catchUp());
  }

  async depth(): Promise<number> {
    const count = await this.#requests.run("depth", ({ session }) => depth(session, this.#name));
    if (count === undefined) throw this.#gone("depth");
    return count;
  }

  async stats(): Promise<ChannelStats> {
    const found = await this.#requests.run("stats", async ({ session }) => {
      const [queue] = await Promise.all([
        counts(session, this.#name),
        session.announcements.catchUp(), // a drain by another process
      ]);
      return queue;
    });
    if (found === undefined) throw this.#gone("stats");
    const { messageCount, consumerCount } = found;
    return { depth: messageCount, consumers: consumerCount, closed: this.#isClosed };
  }

  async drain(): Promise<void> {
    if (this.#isClosed) return;
    const exists = await this.#requests.run("closeAll", async ({ session, lifetime }) => {
      const expires = lifetime === "durable" ? undefined : markerExpiry(this.#options.lease);
      if (!await placeMarker(session, this.#name, expires)) return false;
      await topology.announceDrain(session, this.#name, lifetime);
      return true;
    });
    if (!exists) throw this.#gone("closeAll");
    this.#onClosed();
  }

  async delete(): Promise<void> {
    const wasGone = this.#isGone;
    this.#isGone = true; // the observer is not told of a deletion by this process
    try {
      await this.#requests.run("delete", ({ session, lifetime }) => {
        return topology.remove(session, this.#name, {
          lifetime,
          isClosed: this.#isClosed,
          hasAnnounced: this.#hasAnnounced,
          hasLease: this.#options.lease !== undefined,
        });
      });
    } catch (error) {
      if (this.#isDeletedHere) return; // by another call, before this one was repeated
      this.#isGone = wasGone;
      throw error;
    }
    this.#isDeletedHere = true;
  }

  async close(): Promise<void> {
    // Released messages whose attempts are counted are published again.
    if (this.#live !== undefined) await within(closeTimeout / 2, this.#outbox.allRepublished());
    const reason = new Error("the link is closed");
    this.#end(reason);
    await this.#cycle.settled();
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    this.#attachment = undefined;
    attachment.end(reason);
    const { session } = attachment;
    session.offLost(this.#onLost);
    // A newer link of the same name uses the same binding.
    const isBound = session.announcements.unlisten(this.#name, this.#listener);
    if (session.isLost) return;
    const { processRef } = this.#connector;
    await processRef.refWhile(attachment.close());
    if (!isBound || this.#isDeletedHere) return;
    await processRef.refWhile(attachment.unbind()).catch(() => {});
  }

  /** The attachment, if its connection is live. */
  get #live(): LinkAttachment | undefined {
    const attachment = this.#attachment;
    return attachment === undefined || attachment.session.isLost ? undefined : attachment;
  }

  /** Whether an operation waits for an attachment. */
  get #isAwaited(): boolean {
    return this.#claims.size > 0 || this.#requests.size > 0 || this.#outbox.size > 0;
  }

  async #attach(session: Session): Promise<topology.Found> {
    const { announcements } = session;
    const { processRef } = this.#connector;
    try {
      await announcements.clear(this.#name);
      announcements.listen(this.#name, this.#listener);
      // After the first attachment other processes may have the channel, and may have closed it.
      const isNew = this.#options.isNew === true && !this.#wasAttached;
      const options = { ...this.#options, isNew };
      const attaching = session.run(
        this.#operation("attach"),
        () => topology.attach(session, this.#name, options),
      );
      const found = await (this.#isAwaited ? processRef.refWhile(attaching) : attaching);
      if (session.isLost) throw session.loss;
      if (found === undefined) throw this.#gone("attach", this.#wasAttached ? "delete" : "missing");
      return found;
    } catch (error) {
      announcements.unlisten(this.#name, this.#listener);
      throw error;
    }
  }

  #onAttached(session: Session, { lifetime, isBounded, isClosed, hazard }: topology.Found): void {
    if (hazard !== undefined && !this.#wasAttached) this.#warn(hazard);
    this.#announcer.reset();
    this.#wasAttached = true;
    if (isBounded) this.#outbox.bound();
    const attachment = new LinkAttachment(session, lifetime, this.#owner);
    this.#attachment = attachment;
    session.onLost(this.#onLost);
    if (this.#cycle.isEnded) return; // `close` waits for this, and undoes it
    if (isClosed) this.#onClosed(false);
    else if (this.#isClosed) this.#onClosed(); // the announcement came during the attachment
    this.#outbox.open(session.publisher);
    for (const claim of this.#claims.takeAll()) attachment.take(claim);
    this.#requests.runAll(attachment);
  }

  #warn(hazard: string): void {
    this.#connector.warn(
      `channel ${this.#name} ${hazard}: another program or an earlier version created its queue; ` +
        "delete the channel to have it created again",
    );
  }

  /** The channel is closed by a drain. Puts that were sent before may still arrive, and are waited for. */
  #onClosed(wasAttached = true): void {
    this.#isClosed = true;
    const attachment = this.#attachment;
    if (attachment === undefined || attachment.isDraining) return;
    this.#outbox.drain((wasSent, id) => putError(drainedError(this.#name), wasSent, id));
    attachment.drain(wasAttached);
  }

  readonly #listener: Listener = {
    announced: (event, contentType) => this.#onAnnouncement(event, contentType),
    missed: () => this.#lookAgain(),
  };

  #onAnnouncement(event: Uint8Array, contentType: string): void {
    this.#hasAnnounced = true;
    if (contentType === drainType) this.#onClosed();
    else if (topology.isDeletionEvent(event)) this.#gone("announced");
    else this.#options.observer.announced(event);
  }

  /** After missed announcements, finds out whether the channel was closed or deleted. */
  async #lookAgain(attempt = 0): Promise<void> {
    const attachment = this.#live;
    if (attachment === undefined || this.#cycle.isEnded) return;
    const { session } = attachment;
    let state;
    try {
      const look = () => topology.look(session, this.#name);
      state = await session.run(this.#operation("look"), look);
    } catch { // for example, the queue's node is down
      setTimeout(() => this.#lookAgain(attempt + 1), backOff(attempt, 100, 30_000)).unref();
      return;
    }
    if (this.#attachment !== attachment || this.#cycle.isEnded) return;
    if (state === "gone") this.#gone("announced");
    else if (state === "closed") this.#onClosed();
  }

  readonly #onLost = (): void => {
    const attachment = this.#attachment!;
    this.#attachment = undefined;
    this.#outbox.close();
    for (const claim of attachment.lose()) this.#claims.add(claim);
    this.#cycle.lost(attachment.session);
  };

  /**
   * The broker has returned a message: the queue is gone, or its node is down. Returns the put's error, if it is gone.
   */
  async #onReturned(): Promise<ChannelError | undefined> {
    const live = this.#live;
    if (live === undefined) return undefined; // the next connection sends the message again
    return await live.exists() === false ? this.#gone("put") : undefined;
  }

  /** Reports whether the queue works and has messages, so that it refuses a message because it is full. */
  async #isFull(): Promise<boolean> {
    const live = this.#live;
    if (live === undefined) return false;
    try {
      return (await within(reachTimeout, live.depth()) ?? 0) > 0;
    } catch {
      return false;
    }
  }

  #operation(action: string): BrokerOperation {
    let operation = this.#operations.get(action);
    if (operation === undefined) {
      const key = `${action} ${this.#name}`;
      operation = this.#connector.culprits.operation(key, this.#options.retryTimeout);
      this.#operations.set(action, operation);
    }
    return operation;
  }

  /**
   * Renews the channel's lease: to the broker any declaration is a use (https://www.rabbitmq.com/docs/ttl#queue-ttl).
   */
  #startLease(): void {
    const { lease } = this.#options;
    if (lease === undefined) return;
    this.#leaseTimer = setInterval(() => this.#renewLease(), lease / 3);
    this.#leaseTimer.unref();
  }

  #renewLease(): void {
    const live = this.#live;
    if (live === undefined) return;
    if (this.#isClosed) depth(live.session, markerOf(this.#name)).catch(() => {});
    depth(live.session, this.#name).then(
      (count) => count === undefined && this.#gone("renew"),
      () => {}, // the next operation rejects for the same reason
    );
  }

  /** Records that the channel is gone, and returns the error that says so. */
  #gone(action: string, reason: "delete" | "missing" = "delete"): ChannelClosedError {
    if (!this.#isGone) {
      this.#isGone = true;
      if (reason === "delete") this.#options.observer.gone();
    }
    return goneError(action, this.#name, reason);
  }

  #explain(action: string, error: unknown): ChannelError {
    if (error instanceof ChannelError) return error;
    return refusedBy(`${action} on channel ${this.#name}`, this.#connector.address, error);
  }

  /** Returns the error of an operation that has waited for an attachment for too long. */
  #outage(action: string): ChannelError {
    const { refusal, loss } = this.#cycle;
    if (refusal !== undefined) return this.#explain(action, refusal);
    const { address, trouble = loss } = this.#connector;
    return outage(`${action} on channel ${this.#name}`, { address, trouble });
  }

  #end(reason: Error): void {
    if (this.#cycle.isEnded) return;
    this.#cycle.end();
    clearInterval(this.#leaseTimer);
    this.#rejectAll((action) => closedMeanwhile(action, this.#connector.address, reason));
  }

  #expire(pause: number): void {
    this.#outbox.expire(pause);
    this.#claims.expire(pause);
    this.#requests.expire(pause);
  }

  #rejectAll(make: (action: string) => ChannelError): void {
    this.#outbox.rejectAll((wasSent, id) => putError(make("put"), wasSent, id));
    for (const claim of this.#claims.takeAll()) claim.reject(make("get"));
    this.#requests.rejectAll(make);
  }
}

/** Returns the meaning of a request's failure. */
function meaningOf(error: unknown, isLost: boolean): FailureMeaning {
  if (isLost && !(error instanceof RepeatedLossError)) return "lost";
  if (isMissing(error)) return "gone";
  return mayPass(error) ? "later" : "refused";
}
