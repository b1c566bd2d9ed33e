import { clearInterval, setInterval } from "node:timers";
import { ChannelClosedError, ChannelError } from "../../errors.ts";
import { Fifo } from "../../fifo.ts";
import type { Claim, Delivery, Link, LinkOptions, Message } from "../../transport.ts";
import { notFound, refusedBy, replyCode } from "./failure.ts";
import { Unroutable } from "./publisher.ts";
import type { Session } from "./session.ts";
import { Source } from "./source.ts";
import * as topology from "./topology.ts";

/** An attachment as it is on one connection; after a loss there is another. */
interface Attached {
  readonly session: Session;
  readonly source: Source;
}

/**
 * This process's attachment to one queue and its exchange. Where the connection is lost, what is
 * pending rejects, and the next operation attaches anew.
 */
export class AmqpLink implements Link {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #connect: (signal: AbortSignal) => Promise<Session>;
  /** Aborted when the link is closed, or wanted no more before it is open. */
  readonly #ended = new AbortController();
  #attached: Attached | undefined;
  #attaching: Promise<Attached> | undefined;
  /** Puts that wait for a connection, to be sent in their order before any other. */
  readonly #latePuts: ((session: Session) => void)[] = [];
  /** Claims that wait for a connection. */
  readonly #lateClaims = new Fifo<Claim>();
  #isGone = false;
  #isDeletedHere = false;
  #isClosed = false;
  #renewal: ReturnType<typeof setInterval> | undefined;

  private constructor(
    name: string,
    options: LinkOptions,
    connect: (signal: AbortSignal) => Promise<Session>,
  ) {
    this.#name = name;
    this.#options = options;
    this.#connect = connect;
    const { signal } = options;
    signal.addEventListener("abort", () => this.#ended.abort(signal.reason), { once: true });
    if (signal.aborted) this.#ended.abort(signal.reason);
  }

  /** @param connect the connection, or a ChannelConnectionError when the retry timeout is over */
  static async open(
    name: string,
    options: LinkOptions,
    connect: (signal: AbortSignal) => Promise<Session>,
  ): Promise<AmqpLink> {
    const link = new AmqpLink(name, options, connect);
    await link.#attach();
    if (options.lease !== undefined) {
      link.#renewal = setInterval(() => link.#renewLease(), options.lease / 3);
      link.#renewal.unref();
    }
    return link;
  }

  put(message: Message): Promise<void> {
    if (this.#session !== undefined) return this.#publish(this.#session, message);
    return new Promise((resolve, reject) => {
      const late = (session: Session) => resolve(this.#publish(session, message));
      this.#latePuts.push(late);
      this.#attach().catch(reject);
    });
  }

  async #publish(session: Session, message: Message): Promise<void> {
    session.hold();
    try {
      await session.publisher.publish("", this.#name, message);
    } catch (error) {
      if (error instanceof Unroutable) throw this.#gone("put");
      throw this.#explain("put", session, error);
    } finally {
      session.unhold();
    }
  }

  take(claim: Claim): void {
    if (this.#session !== undefined) return this.#attached!.source.take(claim);
    this.#lateClaims.push(claim);
    this.#attach().catch((error) => this.#lateClaims.remove(claim) && claim.reject(error));
  }

  withdraw(claim: Claim): boolean {
    return this.#lateClaims.remove(claim) || (this.#attached?.source.withdraw(claim) ?? false);
  }

  async tryTake(): Promise<Delivery | undefined> {
    const { session, source } = await this.#attach();
    try {
      return await session.holding(source.tryTake());
    } catch (error) {
      if (replyCode(error) === notFound) throw this.#gone("get");
      throw this.#explain("get", session, error);
    }
  }

  async announce(event: Uint8Array): Promise<void> {
    const { session } = await this.#attach();
    const reached = await this.#run(
      "announce",
      session,
      () => topology.announce(session, this.#name, event, session.publisher.nextId()),
    );
    if (!reached) throw this.#gone("announce");
  }

  async catchUp(): Promise<void> {
    const { session } = await this.#attach();
    await this.#run("attach", session, () => session.holding(session.bulletin.catchUp()));
  }

  async depth(): Promise<number> {
    const { session } = await this.#attach();
    const depth = await this.#run("depth", session, () => topology.depth(session, this.#name));
    if (depth === undefined) throw this.#gone("depth");
    return depth;
  }

  async delete(): Promise<void> {
    const { session } = await this.#attach();
    const name = this.#name;
    this.#isGone = true; // that the queue goes is no news
    try {
      // The queue goes first: who hears of the end may begin anew at once, and put into it.
      await topology.deleteQueue(session, name);
      await topology.announce(session, name, deletion, session.publisher.nextId());
      await topology.deleteExchange(session, name);
    } catch (error) {
      this.#isGone = false;
      throw this.#explain("delete", session, error);
    }
    this.#isDeletedHere = true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#renewal);
    this.#ended.abort(new Error("the link is closed"));
    await this.#attaching?.catch(() => {});
    if (this.#attached === undefined) return;
    const { session, source } = this.#attached;
    // A newer link on the same name uses the same binding.
    const isBound = session.bulletin.unlisten(this.#name, this.#hear);
    session.offLost(this.#onLost);
    if (session.isLost) return;
    await session.holding(source.close());
    if (isBound && !this.#isDeletedHere) await topology.detach(session, this.#name).catch(() => {});
  }

  /** The live connection that the link is attached on. */
  get #session(): Session | undefined {
    const session = this.#attached?.session;
    return session === undefined || session.isLost ? undefined : session;
  }

  #attach(): Promise<Attached> {
    if (this.#session !== undefined) return Promise.resolve(this.#attached!);
    return this.#attaching ??= this.#attachAnew().catch((error) => {
      this.#latePuts.length = 0; // each rejects with this error
      throw error;
    }).finally(() => this.#attaching = undefined);
  }

  async #attachAnew(): Promise<Attached> {
    const session = await this.#connect(this.#ended.signal);
    session.bulletin.listen(this.#name, this.#hear);
    try {
      const exists = await this.#run(
        "attach",
        session,
        () => topology.attach(session, this.#name, this.#options),
      );
      if (!exists) throw this.#gone("attach", "missing");
      if (session.isLost) throw session.lossError("attach");
    } catch (error) {
      session.bulletin.unlisten(this.#name, this.#hear);
      throw error;
    }
    session.onLost(this.#onLost);
    const source = new Source(
      session,
      this.#name,
      (error, inARow) => this.#onFailure(error, inARow),
    );
    this.#attached = { session, source };
    for (const put of this.#latePuts.splice(0)) put(session);
    for (let claim; (claim = this.#lateClaims.shift()) !== undefined;) source.take(claim);
    return this.#attached;
  }

  /** A field, so that it can be taken off the bulletin's listeners. */
  readonly #hear = (event: Uint8Array): void => {
    if (isDeletion(event)) this.#gone("announced");
    else this.#options.observer.announced(event);
  };

  readonly #onLost = (): void => {
    const { session, source } = this.#attached!;
    for (const claim of source.withdrawAll()) claim.reject(session.lossError("get"));
  };

  /** The source stopped: the queue was deleted, or the broker ended the consumer or its AMQP channel alone. */
  async #onFailure(error: unknown, inARow: number): Promise<void> {
    const { session, source } = this.#attached!;
    if (session.isLost || this.#isClosed) return;
    const exists = await topology.depth(session, this.#name).catch(() => 0) !== undefined;
    if (session.isLost || this.#isClosed) return;
    if (!exists) {
      this.#gone("get");
    } else if (inARow > mostFailures) {
      for (const claim of source.withdrawAll()) claim.reject(this.#explain("get", session, error));
    } else {
      source.resume();
    }
  }

  #gone(action: string, reason: "delete" | "missing" = "delete"): ChannelClosedError {
    if (!this.#isGone) {
      this.#isGone = true;
      if (reason === "delete") this.#options.observer.gone();
    }
    const outcome = reason === "delete" ? "was deleted" : "does not exist";
    return new ChannelClosedError(`${action}: channel ${this.#name} ${outcome}`, { reason });
  }

  async #run<T>(action: string, session: Session, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#explain(action, session, error);
    }
  }

  #explain(action: string, session: Session, error: unknown): ChannelError {
    if (error instanceof ChannelError) return error;
    if (session.isLost) return session.lossError(action);
    return refusedBy(`${action} on channel ${this.#name}`, session.address, error);
  }

  /** Any declaration counts as use of a queue (https://www.rabbitmq.com/docs/ttl#queue-ttl). */
  #renewLease(): void {
    const session = this.#session;
    if (session === undefined) return;
    topology.depth(session, this.#name).then(
      (depth) => depth === undefined && this.#gone("renew"),
      () => {}, // the next operation hears of it
    );
  }
}

/** How often in a row the broker may end a consumer of a queue that exists. */
const mostFailures = 3;

/** What every other link hears when a channel is deleted. */
const deletion = new TextEncoder().encode("delete");

function isDeletion(event: Uint8Array): boolean {
  return event.length === deletion.length && event.every((byte, i) => byte === deletion[i]);
}
