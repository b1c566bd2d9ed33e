import { ChannelConfigError, ChannelConnectionError } from "../shared/errors.ts";
import { checkName, isAnonymous } from "../shared/names.ts";
import { isCloseAllEvent } from "../transports/close_all_event.ts";
import type { Pipe, PipeObserver } from "../transports/home/pipes/pipe.ts";
import {
  booleanField,
  countField,
  durationField,
  stringField,
} from "../transports/home/protocol/fields.ts";
import {
  type Frame,
  numberOf,
  ProtocolError,
  readFrame,
} from "../transports/home/protocol/frame.ts";
import { messageFields, messageOf } from "../transports/home/protocol/message_fields.ts";
import type { Features, LinkOptions, Loan } from "../transports/transport.ts";
import type { Newcomer, PeerInfo } from "./acceptor.ts";
import type { Authorize, PeerAction, PeerIdentity } from "./authorize.ts";
import type { HomeLimits } from "./home_limits.ts";
import { PeerLink, permissionError } from "./peer_link.ts";
import { PeerPipe } from "./peer_pipe.ts";
import { PeerPut } from "./peer_put.ts";
import { PeerClaim, PeerEmpty, PeerRoom, type WaitingRequest } from "./peer_requests.ts";
import { checkOpen, checkPut, lentAttempts, lentMessage } from "./peer_rules.ts";
import type { PeerSession } from "./peer_session.ts";
import type { ServedLink } from "./served_link.ts";

/** What a peer needs of its home. */
export interface PeerHome {
  /** The id of the home, by which peers know whether it has restarted. */
  readonly id: string;
  readonly limits: Required<HomeLimits>;
  readonly authorize: Authorize | undefined;
  /** The features of the connection that the home serves; undefined until its transport is loaded. */
  readonly features: Features | undefined;
  /** Loads the transport. */
  ready(): Promise<void>;
  /** Admits a peer. @throws {ChannelConnectionError} if it is refused */
  admit(peer: HomePeer, hello: Frame): Admitted;
  open(name: string, options: Omit<LinkOptions, "retryTimeout">): Promise<ServedLink>;
  /** The connection of a peer has ended. */
  left(peer: HomePeer, reason: Error | undefined): void;
  /** Returns what a peer is told of an error, as JSON. An error that is none of the library is logged. */
  shownError(error: unknown): string;
}

/** What the home knows of an admitted peer. */
export interface Admitted {
  readonly name: string;
  readonly token: string | undefined;
  readonly session: PeerSession;
}

/** A message that a peer has been lent. */
interface PeerLoan {
  readonly loan: Loan;
  readonly link: PeerLink;
}

/**
 * A connection of a peer, from the home's side.
 *
 * Invariants: nothing but HELLO is handled before the peer is admitted, nor before the home is ready. When the
 * connection has ended, the peer has no loan, no request that waits and, within a bounded time, no link.
 */
export class HomePeer implements PipeObserver {
  readonly info: PeerInfo;
  /** What `authorize` sees; set when the peer is admitted. */
  identity!: PeerIdentity;
  /** What the peer calls itself. */
  name = "";
  session!: PeerSession;
  readonly links: Map<number, PeerLink> = new Map();
  /** The requests that wait, by their numbers. */
  readonly requests: Map<number, WaitingRequest> = new Map();
  /** The loans, by the numbers of their requests. */
  readonly loans: Map<number, PeerLoan> = new Map();
  readonly #home: PeerHome;
  readonly #newcomer: Newcomer & { admit?(): void } | undefined;
  #pipe!: PeerPipe;
  /** The messages that `TRY` has asked the engine for, and that are not answered. */
  #tries = 0;
  #isAdmitted = false;
  #isEnded = false;
  /** The frames that have arrived before the home was ready. */
  #early: Uint8Array[] | undefined;

  /** @param open returns the open pipe */
  constructor(
    home: PeerHome,
    info: PeerInfo,
    open: (observer: PipeObserver) => Pipe,
    newcomer: Newcomer & { admit?(): void } | undefined,
  ) {
    this.#home = home;
    this.info = info;
    this.#newcomer = newcomer;
    this.#pipe = new PeerPipe(open(this), home.limits, (isSlow) => this.#onSlow(isSlow));
  }

  get isSlow(): boolean {
    return this.#pipe.isSlow;
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  get buffered(): number {
    return this.#pipe.buffered;
  }

  // PipeObserver

  received(bytes: Uint8Array): void {
    if (this.#isEnded) return;
    if (this.#early !== undefined) {
      this.#early.push(bytes);
      return;
    }
    try {
      const frame = readFrame(bytes);
      if (this.#isAdmitted) this.#handle(frame, bytes.length);
      else this.#greet(frame);
    } catch (error) {
      this.#pipe.abort(error as Error);
    }
  }

  drained(): void {
    this.#pipe.drained();
  }

  closed(error: Error | undefined): void {
    this.#end(true);
    this.#pipe.ended();
    this.#newcomer?.gone();
    this.#home.left(this, error);
  }

  // Greeting

  #greet(frame: Frame): void {
    let admitted: Admitted;
    try {
      admitted = this.#home.admit(this, frame);
    } catch (error) {
      if (!(error instanceof ChannelConnectionError)) throw error;
      return this.#refuse(error);
    }
    const { name, token, session } = admitted;
    const { transport, address, origin, key, username } = this.info;
    this.name = name;
    this.session = session;
    this.identity = Object.defineProperty(
      {
        transport,
        address,
        ...origin === undefined ? {} : { origin },
        ...key === undefined ? {} : { key },
        ...username === undefined ? {} : { username },
      },
      "token",
      { value: token },
    );
    this.#isAdmitted = true;
    this.#newcomer?.admit?.();
    if (this.#home.features !== undefined) return this.#welcome();
    this.#early = [];
    this.#pipe.pause("early");
    this.#home.ready().then(() => this.#welcome(), (error) => this.#refuse(error));
  }

  #welcome(): void {
    const { id, limits, features } = this.#home;
    this.send(`WELCOME ${
      JSON.stringify({
        version: 1,
        home: id,
        terms: features!.terms ?? [],
        rendezvous: features!.rendezvous ?? false,
        maxFrame: limits.frame,
        maxPuts: limits.puts,
      })
    }`);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) this.received(bytes);
    this.#pipe.resume("early");
  }

  /** Refuses the peer. Nothing that it sends is handled. */
  #refuse(error: unknown): void {
    this.#early ??= [];
    this.#pipe.pause("early");
    this.send(`REFUSED ${this.#home.shownError(error)}`);
    this.#pipe.close();
  }

  // Frames

  #handle(frame: Frame, size: number): void {
    const { word, args, fields, body } = frame;
    switch (word) {
      case "PUT":
        return this.#put(frame, size);
      case "TAKE":
        return this.#take(frame);
      case "ACC":
        return this.#settle(args, (loan, isMoved) => loan.accept(isMoved), fields, "moved");
      case "REL":
        return this.#settle(args, (loan, isCounted) => loan.release(isCounted), fields, "counted");
      case "TRY":
        return this.#try(frame);
      case "DROP":
        for (const arg of args) this.#drop(numberOf(arg));
        return;
      case "ROOM":
        return this.#wait(frame, (link, request, group) => {
          if (booleanField(fields, "aside") !== true) link.isFull = false;
          return new PeerRoom(this, link, request, group);
        });
      case "EMPTY":
        return this.#wait(frame, (link, request) => new PeerEmpty(this, link, request));
      case "OPEN":
        return this.#open(frame);
      case "CLOSE":
        return this.#close(frame);
      case "SAY": {
        const isControl = isCloseAllEvent(body);
        return this.#call(frame, size, isControl ? "close" : "announce", async (served) => {
          await served.announce(body, isControl);
        });
      }
      case "SYNC":
        return this.#call(frame, size, undefined, (served) => served.catchUp());
      case "DRAIN":
        return this.#call(frame, size, "close", (served) => served.drain());
      case "DEPTH":
        return this.#call(
          frame,
          size,
          "depth",
          async (served) => ({ value: await served.depth() }),
        );
      case "DELETE":
        return this.#call(frame, size, "delete", (served) => served.delete());
      case "PING":
        return this.send("PONG");
      case "HELLO":
        throw new ProtocolError("a second HELLO");
    }
    const request = /^[1-9]\d{0,15}$/.test(args[1] ?? "") ? numberOf(args[1]) : undefined;
    if (request === undefined) return;
    this.refuse(request, new ChannelConfigError(`the home knows no ${word}; use another version`));
  }

  #open({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    if (this.links.has(number)) throw new ProtocolError("a link number is used again");
    const name = stringField(fields, "name") ?? "";
    const lease = durationField(fields, "lease");
    const capacity = countField(fields, "capacity");
    const create = booleanField(fields, "create") ?? false;
    const isNew = booleanField(fields, "isNew");
    const quorum = booleanField(fields, "quorum");
    const { limits, authorize } = this.#home;
    try {
      checkName(name);
      checkOpen({
        ...lease === undefined ? {} : { lease },
        ...capacity === undefined ? {} : { capacity },
      });
      if (this.links.size >= limits.links) throw limitError("attach", "links", limits.links);
    } catch (error) {
      return this.refuse(request, error);
    }
    const link = new PeerLink(this, number, name, create, authorize);
    this.links.set(number, link);
    this.#pipe.hold(0);
    this.#attach(link, {
      create,
      signal: link.closed.signal,
      observer: link,
      ...lease === undefined ? {} : { lease },
      ...capacity === undefined ? {} : { capacity },
      isNew: isNew === true && isAnonymous(name), // others may know any other name
      ...quorum === undefined ? {} : { quorum },
    }).then((served) => {
      this.send(`OK ${request}`);
      link.opened(served);
    }, (error) => {
      if (this.links.get(number) === link) this.links.delete(number);
      this.refuse(request, error);
      link.failed(error);
    }).finally(() => this.#pipe.letGo(0));
  }

  async #attach(link: PeerLink, options: Omit<LinkOptions, "retryTimeout">): Promise<ServedLink> {
    if (!await link.mayDo("open")) throw permissionError("open", link.name);
    const served = await this.#home.open(link.name, options);
    if (!link.isClosed) return served;
    await served.close();
    throw link.closed.signal.reason;
  }

  #close({ args }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const link = this.links.get(number);
    if (link === undefined) return this.send(`OK ${request}`);
    this.links.delete(number);
    this.#pipe.hold(0);
    this.#leave(link, false).then(() => {
      this.send(`OK ${request}`);
      this.#pipe.letGo(0);
    });
  }

  /** Withdraws the requests of a link, releases its loans, and closes it. Never rejects. */
  #leave(link: PeerLink, counted: boolean): Promise<void> {
    for (const request of [...link.requests]) request.drop();
    for (const number of [...link.loans]) this.#takeLoan(number)?.release(counted);
    return link.close();
  }

  #put(frame: Frame, size: number): void {
    const { args, fields } = frame;
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const message = messageOf(frame);
    const again = countField(fields, "again");
    const isTry = booleanField(fields, "try") ?? false;
    const link = this.#linkOf(number, request);
    if (link === undefined) return;
    try {
      checkPut(message, this.#home.features?.terms ?? []);
    } catch (error) {
      return this.refuse(request, error);
    }
    if (again !== undefined) {
      if (this.session.hasTaken(again)) return this.send(`OK ${request}`);
      const pending = this.session.pending(again);
      if (pending !== undefined) {
        this.#pipe.hold(pending.size);
        return pending.answerTo(this, request);
      }
    }
    this.#pipe.hold(size);
    link.run(new PeerPut(this, link, request, again ?? request, message, { isTry, size }));
  }

  #take({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const counted = booleanField(fields, "counted") ?? false;
    const group = countField(fields, "group");
    const link = this.#linkOf(number, request);
    if (link === undefined || !this.#hasRoomFor(request)) return;
    this.#add(new PeerClaim(this, link, request, counted, group));
  }

  #wait(
    { args, fields }: Frame,
    newRequest: (link: PeerLink, request: number, group: number | undefined) => WaitingRequest,
  ): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const group = countField(fields, "group");
    const link = this.#linkOf(number, request);
    if (link === undefined || !this.#hasRoomFor(request)) return;
    this.#add(newRequest(link, request, group));
  }

  #add(request: WaitingRequest): void {
    this.requests.set(request.number, request);
    request.link.requests.add(request);
    request.link.run(request);
  }

  #try({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const counted = booleanField(fields, "counted") ?? false;
    const link = this.#linkOf(number, request);
    if (link === undefined || !this.#hasRoomFor(request)) return;
    const asked = Math.max(countField(fields, "count") ?? 1, 1);
    const count = Math.min(asked, mostTries, this.#room);
    this.#pipe.hold(0);
    this.#tries += count;
    let lent = 0;
    const lend = (loan: Loan | undefined) => {
      if (loan !== undefined) this.lend(request + lent++, loan, link);
    };
    const end = (answer: () => void) => {
      this.#tries -= count;
      this.#pipe.letGo(0);
      answer();
    };
    link.run({
      action: "get",
      start: (served) => {
        takeThose(served, counted, count, lend).then(
          () => end(() => lent < asked && this.send(`NONE ${request + lent}`)),
          (error) => end(() => this.refuse(request + lent, error)),
        );
      },
      refuse: (error) => end(() => this.refuse(request, error)),
    });
  }

  /** Runs a request that is answered with `OK`, and maybe with a result. */
  #call(
    { args }: Frame,
    size: number,
    action: PeerAction | undefined,
    act: (served: ServedLink) => Promise<object | void>,
  ): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const link = this.#linkOf(number, request);
    if (link === undefined) return;
    this.#pipe.hold(size);
    const refuse = (error: unknown) => {
      this.refuse(request, error);
      this.#pipe.letGo(size);
    };
    link.run({
      action,
      start: (served) => {
        act(served).then((result) => {
          this.send(
            result === undefined ? `OK ${request}` : `OK ${request} ${JSON.stringify(result)}`,
          );
          this.#pipe.letGo(size);
        }, refuse);
      },
      refuse,
    });
  }

  #settle(
    args: readonly string[],
    settle: (loan: Loan, flag: boolean) => void,
    fields: Frame["fields"],
    flagName: string,
  ): void {
    const flag = booleanField(fields, flagName) ?? false;
    for (const arg of args) {
      const request = numberOf(arg);
      const loan = this.#takeLoan(request);
      if (loan !== undefined) settle(loan, flag);
    }
  }

  #drop(request: number): void {
    this.requests.get(request)?.drop();
    this.#takeLoan(request)?.release();
  }

  #takeLoan(request: number): Loan | undefined {
    const lent = this.loans.get(request);
    if (lent === undefined) return undefined;
    this.loans.delete(request);
    lent.link.loans.delete(request);
    return lent.loan;
  }

  /** Returns a link; if the peer has none of this number, the request is refused. */
  #linkOf(number: number, request: number): PeerLink | undefined {
    const link = this.links.get(number);
    if (link === undefined) this.refuse(request, noLinkError());
    return link;
  }

  /** Reports whether a further loan or request that waits is within the limit; if not, the request is refused. */
  #hasRoomFor(request: number): boolean {
    const { loans } = this.#home.limits;
    if (this.requests.has(request) || this.loans.has(request)) {
      throw new ProtocolError("a request number is used again");
    }
    if (this.#room > 0) return true;
    this.refuse(request, limitError("get", "values that are held or waited for", loans));
    return false;
  }

  /** How many further loans and requests that wait the limit allows. */
  get #room(): number {
    return this.#home.limits.loans - this.requests.size - this.loans.size - this.#tries;
  }

  // What requests and links call

  send(header: string, body?: Uint8Array): void {
    if (!this.#isEnded) this.#pipe.send(header, body);
  }

  refuse(request: number, error: unknown): void {
    if (!this.#isEnded) this.send(`NO ${request} ${this.#home.shownError(error)}`);
  }

  lend(request: number, loan: Loan, link: PeerLink): void {
    if (this.#isEnded || link.isClosed) return loan.release();
    if (this.loans.has(request)) { // the peer has numbered a TRY and another request alike
      loan.release();
      return this.#pipe.abort(new ProtocolError("a request number is used again"));
    }
    this.loans.set(request, { loan, link });
    link.loans.add(request);
    const { message, redelivered } = loan;
    const attempts = lentAttempts(loan.attempts);
    const properties = messageFields(lentMessage(message));
    this.send(`LEND ${request} ${attempts} ${redelivered ? 1 : 0} ${properties}`, message.body);
  }

  ended(request: WaitingRequest): void {
    this.requests.delete(request.number);
    request.link.requests.delete(request);
  }

  letGo(size: number): void {
    this.#pipe.letGo(size);
  }

  #onSlow(isSlow: boolean): void {
    for (const request of [...this.requests.values()]) request.slowed(isSlow);
    if (!isSlow) { for (const link of this.links.values()) link.resumed(); }
  }

  // The end

  /** The peer has connected again, and its new connection takes over. */
  replaced(): void {
    this.#end(true);
    this.#pipe.abort(new Error("the peer has connected again"));
  }

  /** Ends the connection: what was answered is sent. Resolves when the links are closed, in a bounded time. */
  async close(): Promise<void> {
    this.#pipe.pause("early");
    for (const request of [...this.requests.values()]) request.drop();
    for (const { loan } of this.loans.values()) loan.release();
    this.loans.clear();
    await Promise.all([...this.links.values()].map((link) => link.close()));
    this.#end(false);
    this.#pipe.close();
  }

  #end(counted: boolean): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const link of this.links.values()) {
      const { served } = link;
      if (served !== undefined) { for (const put of [...link.puts]) put.recall(served); }
    }
    for (const link of this.links.values()) this.#leave(link, counted);
    this.links.clear();
  }
}

/** The most messages that one `TRY` is lent. */
const mostTries = 256;

function limitError(action: string, what: string, limit: number): ChannelConnectionError {
  return new ChannelConnectionError(
    `${action}: the home allows a peer ${limit} ${what} at a time; settle or close some first`,
    { address: "", transient: false, reason: "limit" },
  );
}

/**
 * Takes up to `count` messages that are there. More than one are those that wait in the channel: a channel of capacity 0
 * has none, although puts wait.
 *
 * @param lend called with each
 */
async function takeThose(
  served: ServedLink,
  counted: boolean,
  count: number,
  lend: (loan: Loan | undefined) => void,
): Promise<void> {
  if (count <= 1) return count === 1 ? lend(await served.tryTake(counted)) : undefined;
  const length = Math.min(count, await served.depth());
  const tries = Array.from({ length }, () => served.tryTake(counted).then(lend));
  const outcomes = await Promise.allSettled(tries);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

function noLinkError(): ChannelConfigError {
  return new ChannelConfigError("the peer has no open link of this number; send OPEN first");
}
