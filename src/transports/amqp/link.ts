import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { deletedText, drainedError, missingText } from "../../shared/closed_errors.ts";
import { copyOfError } from "../../shared/error_copies.ts";
import { ChannelClosedError, ChannelError, ChannelSizeError } from "../../shared/errors.ts";
import { backOff } from "../../shared/backoff.ts";
import type { Claim, Link, LinkOptions, Loan, Offer, Stats } from "../transport.ts";
import { closeTimeout, within } from "../../shared/timeouts.ts";
import { longestTimer } from "../../shared/timers.ts";
import { largestAnnouncement, type Listener } from "./connection/announcement_queue.ts";
import { drainType, markerOf, placeMarker } from "./topology/closed_marker.ts";
import type { Connector, SessionWaiter } from "./connection/connector.ts";
import { Drain } from "./gets/drain.ts";
import {
  closedMeanwhile,
  isForbidden,
  isMissing,
  mayPass,
  outage,
  refusedBy,
  unknownOutcome,
} from "./failure.ts";
import { Route } from "./connection/frames.ts";
import type { AmqpLoan } from "./gets/loan.ts";
import { Outbox } from "./puts/outbox.ts";
import { Deadlines } from "./puts/deadlines.ts";
import { type Lifetime, usersBinding } from "./topology/bindings.ts";
import { becomeAbsent } from "./topology/presence.ts";
import { depth } from "./topology/queues.ts";
import { Deduplication } from "./gets/deduplication.ts";
import type { Session } from "./connection/session.ts";
import { QueueConsumer } from "./gets/consumer.ts";
import { type BrokerOperation, RepeatedLossError } from "./connection/culprit_finder.ts";
import * as topology from "./topology/topology.ts";

/** An attachment as it is on one connection; after a loss there is another. */
interface Attached {
  readonly session: Session;
  readonly lifetime: Lifetime;
  source: QueueConsumer;
  /** There where the channel was closed to be emptied. */
  drain?: Drain;
}

/** Something that is done at the broker as soon as the link is attached. */
interface Request {
  readonly action: string;
  go(attached: Attached): void;
  reject(error: ChannelError): void;
}

/**
 * This process's attachment to one queue and its exchange, over all connections: where one is lost, the
 * link attaches again on the next, sends what was not confirmed once more, and claims for whoever waits.
 * What has waited for `retryTimeout` rejects.
 *
 * Invariants: while the link is not attached, it seeks a connection or is being attached, unless it is
 * ended or was refused; whoever waits is in the outbox, among `#claims` or `#requests`. The process is
 * held alive for each of them.
 */
export class AmqpLink implements Link, SessionWaiter {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #connector: Connector;
  readonly #stats: Stats;
  readonly #outbox: Outbox;
  readonly #deduplication = new Deduplication<AmqpLoan>();
  readonly #claims: Deadlines<Claim>;
  readonly #requests: Deadlines<Request>;
  /** By what is done: what was found to end the connection is remembered. */
  readonly #operations = new Map<string, BrokerOperation>();
  /** Announcements to be sent when the ones before have been. */
  readonly #events: Uint8Array[] = [];
  /** Bytes that may be announced, as far as is known on this connection. */
  #largestEvent = largestAnnouncement;
  /** Whether anyone has announced anything, as far as this link knows. */
  #hasAnnounced = false;
  /** Their turn, while it has not begun. */
  #announcing: Promise<void> | undefined;
  #announced: Promise<void> = Promise.resolve();
  #attached: Attached | undefined;
  /** Why the last connection was lost; undefined since it has attached. */
  #loss: ChannelError | undefined;
  /** Why the last attempt to attach has failed, where the next may succeed. */
  #refusal: unknown;
  #wasAttached = false;
  #isConnecting = false;
  #attaching: Promise<void> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #attempts = 0;
  #isEnded = false;
  #isGone = false;
  #isDeletedHere = false;
  /** Whether the channel was closed to be emptied. */
  #isClosed = false;
  /** The loans that claimants here keep. */
  readonly #kept = { count: 0 };
  #renewal: ReturnType<typeof setInterval> | undefined;

  private constructor(name: string, options: LinkOptions, connector: Connector, stats: Stats) {
    this.#name = name;
    this.#options = options;
    this.#connector = connector;
    this.#stats = stats;
    const { processRef } = connector;
    const { retryTimeout } = options;
    const because = (action: string) => {
      if (this.#refusal !== undefined) return this.#explain(action, this.#refusal);
      const { address, trouble = this.#loss } = connector;
      return outage(`${action} on channel ${name}`, { address, trouble });
    };
    this.#claims = new Deadlines(retryTimeout, processRef, (claim) => claim.reject(because("get")));
    this.#requests = new Deadlines(
      retryTimeout,
      processRef,
      ({ action, reject }) => reject(because(action)),
    );
    this.#outbox = new Outbox(new Route(name), stats, processRef, retryTimeout, {
      outageError: (wasSent, id) => wasSent ? unknownOutcome(because("put"), id) : because("put"),
      lossError: (count, id) =>
        unknownOutcome(this.#explain("put", new RepeatedLossError(this.#loss!, count)), id),
      checkQueue: () => this.#onReturned(),
      refusalError: (error) => this.#explain("put", error),
      isFull: () => this.#isFull(),
    });
  }

  static async open(
    name: string,
    options: LinkOptions,
    connector: Connector,
    stats: Stats,
  ): Promise<AmqpLink> {
    const link = new AmqpLink(name, options, connector, stats);
    const { signal } = options;
    const unwanted = () => link.#end(signal.reason);
    signal.addEventListener("abort", unwanted, { once: true });
    try {
      signal.throwIfAborted();
      await link.#request("attach", () => Promise.resolve());
    } catch (error) {
      link.#end(error as Error);
      link.close().catch(() => {}); // attaching may be under way, and come to its end
      throw error;
    } finally {
      signal.removeEventListener("abort", unwanted);
    }
    // It may have been given up in the moment of the answer: whoever opened it closes it then.
    if (options.lease !== undefined && !link.#isEnded) {
      link.#renewal = setInterval(() => link.#renewLease(), options.lease / 3);
      link.#renewal.unref();
    }
    return link;
  }

  put(offer: Offer): void {
    if (this.#isClosed) return offer.reject(drainedError(this.#name));
    this.#outbox.put(offer);
    if (this.#session === undefined) this.#start();
  }

  take(claim: Claim): void {
    if (this.#session !== undefined) {
      const { source, drain } = this.#attached!;
      return (drain ?? source).take(claim);
    }
    this.#claims.add(claim);
    this.#start();
  }

  withdraw(one: Offer | Claim): boolean {
    return "taken" in one
      ? this.#outbox.withdraw(one)
      : this.#claims.delete(one) || (this.#getting?.withdraw(one) ?? false);
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return this.#request("get", ({ source, drain }) => (drain ?? source).tryTake(counted), false);
  }

  async announce(event: Uint8Array): Promise<void> {
    this.#refuseExcess(event);
    this.#events.push(event);
    this.#hasAnnounced = true;
    // One AMQP channel for all keeps their order; what comes meanwhile goes together in the next turn.
    const turn = this.#announcing ??= this.#announceAll(this.#announced);
    await turn;
    this.#refuseExcess(event); // the broker may have told its limit meanwhile
  }

  #refuseExcess({ length: size }: Uint8Array): void {
    const limit = this.#largestEvent;
    if (size <= limit) return;
    throw new ChannelSizeError(
      `announce on channel ${this.#name}: the message has ${size} bytes, and ${this.#connector.address} ` +
        `takes ${limit} to tell all; send it in parts`,
      { size, limit },
    );
  }

  #announceAll(previous: Promise<void>): Promise<void> {
    const turn = previous.catch(() => {}).then(async () => {
      this.#announcing = undefined;
      let events = this.#events.splice(0);
      while (events.length > 0) {
        try {
          if (!await this.#publishEvents(events)) throw this.#gone("announce");
          return;
        } catch (error) {
          const first = error instanceof ChannelSizeError
            ? events.findIndex(({ length }) => length > error.limit)
            : -1;
          if (first < 0) throw error;
          // What was sent before it has arrived, and what was sent after it has not.
          const limit = this.#largestEvent = (error as ChannelSizeError).limit;
          events = events.slice(first).filter(({ length }) => length <= limit);
        }
      }
    });
    return this.#announced = turn;
  }

  #publishEvents(events: readonly Uint8Array[]): Promise<boolean> {
    return this.#request(
      "announce",
      ({ session, lifetime }) =>
        topology.announce(session, this.#name, events, { lifetime, isClosed: this.#isClosed }),
    );
  }

  async catchUp(): Promise<void> {
    await this.#request("attach", ({ session }) => session.announcements.catchUp());
  }

  async depth(): Promise<number> {
    const count = await this.#request("depth", ({ session }) => depth(session, this.#name));
    if (count === undefined) throw this.#gone("depth");
    return count;
  }

  async drain(): Promise<void> {
    if (this.#isClosed) return;
    const exists = await this.#request("closeAll", async ({ session, lifetime }) => {
      const { lease = 0 } = this.#options;
      const expires = lifetime === "durable" ? undefined : markerLife(lease);
      if (!await placeMarker(session, this.#name, expires)) return false;
      await topology.announceDrain(session, this.#name, lifetime);
      return true;
    });
    if (!exists) throw this.#gone("closeAll");
    this.#onClosed();
  }

  async delete(): Promise<void> {
    const wasGone = this.#isGone;
    this.#isGone = true; // that the queue goes is no news
    try {
      await this.#request(
        "delete",
        ({ session, lifetime }) =>
          topology.remove(session, this.#name, deletion, {
            lifetime,
            isClosed: this.#isClosed,
            hasAnnounced: this.#hasAnnounced,
          }),
      );
    } catch (error) {
      if (this.#isDeletedHere) return; // by another call, while this one was to be tried again
      this.#isGone = wasGone;
      throw error;
    }
    this.#isDeletedHere = true;
  }

  async close(): Promise<void> {
    // What was released, and is put again to be counted.
    if (this.#session !== undefined) await within(closeTimeout / 2, this.#outbox.allRepublished());
    this.#end(new Error("the link is closed"));
    await this.#attaching;
    const attached = this.#attached;
    if (attached === undefined) return;
    this.#attached = undefined;
    const { session, lifetime, source, drain } = attached;
    session.offLost(this.#onLost);
    for (const claim of source.withdrawAll()) claim.reject(new Error("the link is closed"));
    drain?.close(new Error("the link is closed"));
    // A newer link on the same name uses the same binding.
    const isBound = session.announcements.unlisten(this.#name, this.#ear);
    if (session.isLost) return;
    const { processRef } = this.#connector;
    await processRef.refWhile(source.close());
    if (!isBound || this.#isDeletedHere) return;
    const left = drain === undefined
      ? topology.detach(session, this.#name, lifetime)
      : becomeAbsent(session, usersBinding(this.#name, lifetime));
    await processRef.refWhile(left).catch(() => {});
  }

  /** There is a connection. */
  connected(session: Session): void {
    this.#isConnecting = false;
    this.#attaching = this.#attach(session).finally(() => this.#attaching = undefined);
  }

  /** There is none yet. */
  failed(error: ChannelError, pause: number): void {
    if (pause === Infinity) {
      this.#isConnecting = false;
      this.#rejectAll(() => copyOfError(error) as ChannelError);
    } else {
      this.#outbox.expire(pause);
      this.#claims.expire(pause);
      this.#requests.expire(pause);
    }
  }

  /** The live connection that the link is attached on. */
  get #session(): Session | undefined {
    const session = this.#attached?.session;
    return session === undefined || session.isLost ? undefined : session;
  }

  /** Attaches, where that is not under way. */
  #start(): void {
    if (this.#isEnded || this.#session !== undefined || this.#attaching !== undefined) return;
    if (this.#again !== undefined) return;
    if (this.#isConnecting) return this.#connector.retryNow();
    this.#isConnecting = true;
    this.#connector.connect(this);
  }

  async #attach(session: Session): Promise<void> {
    const { announcements } = session;
    const { processRef } = this.#connector;
    let found;
    try {
      await announcements.clear(this.#name);
      announcements.listen(this.#name, this.#ear);
      // What exists and is gone while the connection was lost is made again, as for a new broker.
      const isNew = this.#options.isNew === true && !this.#wasAttached;
      const about = { ...this.#options, isNew };
      const attaching = session.run(
        this.#operation("attach"),
        () => topology.attach(session, this.#name, about),
      );
      found = await (this.#isAwaited ? processRef.refWhile(attaching) : attaching);
      if (session.isLost) throw session.loss;
      if (found === undefined) throw this.#gone("attach", this.#wasAttached ? "delete" : "missing");
    } catch (error) {
      announcements.unlisten(this.#name, this.#ear);
      this.#onRefused(session, error);
      return;
    }
    if (found.hazard !== undefined && !this.#wasAttached) {
      this.#connector.warn(
        `channel ${this.#name} ${found.hazard}: another program or an earlier version made its queue; ` +
          "delete the channel to have it made anew",
      );
    }
    this.#attempts = 0;
    this.#largestEvent = largestAnnouncement;
    this.#wasAttached = true;
    if (found.isBounded) this.#outbox.bound();
    const { lifetime } = found;
    const source = this.#newSource(session);
    const attached: Attached = this.#attached = { session, lifetime, source };
    session.onLost(this.#onLost);
    if (this.#isEnded) return; // whoever closes it waits for this
    if (found.isClosed) this.#onClosed(false);
    else if (this.#isClosed) this.#onClosed(); // as it was being attached
    this.#outbox.open(session.publisher);
    this.#loss = this.#refusal = undefined;
    const getting = attached.drain ?? attached.source;
    for (const claim of this.#claims.takeAll()) getting.take(claim);
    for (const request of this.#requests.takeAll()) request.go(attached);
  }

  #newSource(session: Session): QueueConsumer {
    return new QueueConsumer({
      session,
      queue: this.#name,
      deduplication: this.#deduplication,
      outbox: this.#outbox,
      stats: this.#stats,
      kept: this.#kept,
      operation: this.#operation("get"),
      isBounded: this.#outbox.isBounded,
      onFailure: (error, inARow) => this.#onFailure(error, inARow),
    });
  }

  /** Who serves claims. */
  get #getting(): QueueConsumer | Drain | undefined {
    return this.#attached?.drain ?? this.#attached?.source;
  }

  /** The channel was closed to be emptied. What was sent before may still arrive, and is waited for. */
  #onClosed(wasAttached = true): void {
    this.#isClosed = true;
    const attached = this.#attached;
    if (attached === undefined) return;
    if (attached.drain !== undefined) return;
    const { session, lifetime, source } = attached;
    const error = () => drainedError(this.#name);
    this.#outbox.drain((wasSent, id) => wasSent ? unknownOutcome(error(), id) : error());
    attached.drain = new Drain({
      session,
      name: this.#name,
      lifetime,
      wasAttached,
      consumer: source,
      renewConsumer: () => attached.source = this.#newSource(session),
      operation: this.#operation("get"),
      isBusy: () => this.#outbox.size > 0 || this.#kept.count > 0,
      gone: () => this.#gone("get"),
      explain: (error) => this.#explain("get", error),
    });
  }

  get #isAwaited(): boolean {
    return this.#claims.size > 0 || this.#requests.size > 0 || this.#outbox.size > 0;
  }

  /** Attaching has failed. */
  #onRefused(session: Session, error: unknown): void {
    if (this.#isEnded) return;
    this.#refusal = undefined;
    if (session.isLost) {
      this.#loss = session.lossError;
      this.#isConnecting = true;
      return this.#connector.connect(this);
    }
    // What was created, and is missing, is deleted by others at the same time.
    if (!mayPass(error) && !isMissing(error)) {
      const refusal = this.#explain("attach", error);
      return this.#rejectAll(() => copyOfError(refusal) as ChannelError);
    }
    this.#refusal = error;
    const pause = backOff(this.#attempts++, 50, 1000);
    this.failed(this.#explain("attach", error), pause);
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.#start();
    }, pause);
    if (!this.#connector.processRef.isHeld) this.#again.unref();
  }

  readonly #ear: Listener = {
    hear: (event, contentType) => this.#hear(event, contentType),
    missed: () => this.#lookAgain(),
  };

  #hear(event: Uint8Array, contentType: string): void {
    this.#hasAnnounced = true;
    if (contentType === drainType) this.#onClosed();
    else if (isDeletion(event)) this.#gone("announced");
    else this.#options.observer.announced(event);
  }

  /** What the broker knows of the channel is looked up where announcements were missed. */
  async #lookAgain(attempt = 0): Promise<void> {
    const attached = this.#attached;
    if (attached === undefined || attached.session.isLost || this.#isEnded) return;
    let state;
    try {
      const looking = () => topology.look(attached.session, this.#name);
      state = await attached.session.run(this.#operation("look"), looking);
    } catch { // as where the queue's node is down
      setTimeout(() => this.#lookAgain(attempt + 1), backOff(attempt, 100, 30_000)).unref();
      return;
    }
    if (this.#attached !== attached || this.#isEnded) return;
    if (state === "gone") this.#gone("announced");
    else if (state === "closed") this.#onClosed();
  }

  readonly #onLost = (): void => {
    const { session, source, drain } = this.#attached!;
    this.#attached = undefined;
    this.#loss = session.lossError;
    this.#outbox.close();
    for (const claim of (drain ?? source).withdrawAll()) this.#claims.add(claim);
    drain?.close(session.loss);
    source.lose();
    this.#start();
  };

  /** The source stopped: the queue was deleted, or the broker ended the consumer or its AMQP channel alone. */
  async #onFailure(error: unknown, inARow: number): Promise<void> {
    const attached = this.#attached;
    if (attached === undefined || attached.session.isLost || this.#isEnded) return;
    const { session, source } = attached;
    if (error instanceof RepeatedLossError || isForbidden(error)) {
      for (const claim of source.withdrawAll()) claim.reject(this.#explain("get", error));
      return;
    }
    let exists: boolean | undefined;
    try {
      exists = await this.#depth(session) !== undefined;
    } catch { /* it is not known, as where the queue's node is down */ }
    if (session.isLost || this.#isEnded || this.#attached !== attached) return;
    if (exists === false) {
      this.#gone("get");
    } else if (exists && inARow > mostFailures) {
      for (const claim of source.withdrawAll()) claim.reject(this.#explain("get", error));
    } else if (exists && inARow === 1) {
      source.resume();
    } else {
      const pause = backOff(inARow, 25, 1000);
      setTimeout(() => this.#attached === attached && source.resume(), pause).unref();
    }
  }

  /** A message came back: the queue is gone, or its node is. */
  async #onReturned(): Promise<ChannelError | undefined> {
    const session = this.#session;
    if (session === undefined) return undefined; // it is sent again with all others
    try {
      if (await this.#depth(session) === undefined) return this.#gone("put");
    } catch { /* it is not known, as where the queue's node is down */ }
    return undefined;
  }

  /** As somebody finds out on the way; undefined where the queue is gone. */
  #depth(session: Session): Promise<number | undefined> {
    return session.run(this.#operation("depth"), () => depth(session, this.#name));
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

  /** Whether the queue works, and has messages: then it refuses more because it is full. */
  async #isFull(): Promise<boolean> {
    const session = this.#session;
    if (session === undefined) return false;
    try {
      return (await within(mostPatience, this.#depth(session)) ?? 0) > 0;
    } catch {
      return false;
    }
  }

  #gone(action: string, reason: "delete" | "missing" = "delete"): ChannelClosedError {
    if (!this.#isGone) {
      this.#isGone = true;
      if (reason === "delete") this.#options.observer.gone();
    }
    const outcome = reason === "delete" ? deletedText : missingText;
    return new ChannelClosedError(`${action}: channel ${this.#name} ${outcome}`, { reason });
  }

  /**
   * Does `work` on the live connection, and again on the next one where it is lost meanwhile. What the broker cannot do
   * now is tried again for `retryTimeout`, with growing pauses.
   *
   * @param isPatient false: what the broker cannot do now rejects at once
   */
  #request<T>(
    action: string,
    work: (attached: Attached) => Promise<T>,
    isPatient = true,
  ): Promise<T> {
    let since: number | undefined;
    let attempts = 0;
    return new Promise<T>((resolve, reject) => {
      const again = () => {
        if (this.#isEnded) {
          const { address } = this.#connector;
          return reject(closedMeanwhile(action, address, new Error("the link is closed")));
        }
        if (this.#session !== undefined) return go(this.#attached!);
        this.#requests.add({ action, go, reject });
        this.#start();
      };
      const waited = () => performance.now() - (since ??= performance.now());
      const go = (attached: Attached) => {
        const { processRef } = this.#connector;
        const working = attached.session.run(this.#operation(action), () => work(attached));
        processRef.refWhile(working).then(resolve, (error) => {
          if (attached.session.isLost && !(error instanceof RepeatedLossError)) again();
          else if (isMissing(error)) reject(this.#gone(action));
          else if (isPatient && mayPass(error) && waited() < this.#options.retryTimeout) {
            processRef.ref();
            setTimeout(() => {
              processRef.unref();
              again();
            }, backOff(attempts++, 50, 1000));
          } else reject(this.#explain(action, error));
        });
      };
      again();
    });
  }

  #explain(action: string, error: unknown): ChannelError {
    if (error instanceof ChannelError) return error;
    return refusedBy(`${action} on channel ${this.#name}`, this.#connector.address, error);
  }

  #end(reason: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearInterval(this.#renewal);
    clearTimeout(this.#again);
    this.#connector.cancel(this);
    this.#rejectAll((action) => closedMeanwhile(action, this.#connector.address, reason));
  }

  #rejectAll(make: (action: string) => ChannelError): void {
    this.#outbox.rejectAll((wasSent, id) =>
      wasSent ? unknownOutcome(make("put"), id) : make("put")
    );
    for (const claim of this.#claims.takeAll()) claim.reject(make("get"));
    for (const { action, reject } of this.#requests.takeAll()) reject(make(action));
  }

  /** Any declaration counts as use of a queue (https://www.rabbitmq.com/docs/ttl#queue-ttl). */
  #renewLease(): void {
    const session = this.#session;
    if (session === undefined) return;
    if (this.#isClosed) depth(session, markerOf(this.#name)).catch(() => {});
    depth(session, this.#name).then(
      (count) => count === undefined && this.#gone("renew"),
      () => {}, // the next operation hears of it
    );
  }
}

/** Milliseconds for which a queue that works may be asked for its depth. */
const mostPatience = 1000;

/**
 * Milliseconds for which the closed marker of a channel that expires stays unless it is deleted, at least a week and
 * twice as long as the channel.
 */
function markerLife(lease: number): number {
  return Math.min(Math.max(2 * lease, 7 * 24 * 3600 * 1000), longestTimer);
}

/** How often in a row the broker may end a consumer of a queue that exists. */
const mostFailures = 8;

/** What every other link hears when a channel is deleted. */
const deletion = new TextEncoder().encode("delete");

function isDeletion(event: Uint8Array): boolean {
  return event.length === deletion.length && event.every((byte, i) => byte === deletion[i]);
}
