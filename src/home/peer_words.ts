import { ChannelConfigError, ChannelConnectionError } from "../shared/errors.ts";
import { checkName, isAnonymous } from "../shared/names.ts";
import { isCloseAllEvent } from "../transports/close_all_event.ts";
import {
  booleanField,
  countField,
  durationField,
  stringField,
} from "../transports/home/protocol/fields.ts";
import { type Frame, numberOf, ProtocolError } from "../transports/home/protocol/frame.ts";
import { messageOf } from "../transports/home/protocol/message_fields.ts";
import type { Features, LinkOptions, Loan } from "../transports/transport.ts";
import type { Authorize, PeerAction } from "./authorize.ts";
import type { HomeLimits } from "./home_limits.ts";
import type { PeerHoldings } from "./peer_holdings.ts";
import { type LinkOwner, PeerLink, permissionError } from "./peer_link.ts";
import { PeerPut } from "./peer_put.ts";
import {
  PeerClaim,
  PeerEmpty,
  PeerRoom,
  type RequestOwner,
  type WaitingRequest,
} from "./peer_requests.ts";
import { checkOpen, checkPut } from "./peer_rules.ts";
import type { AnswerTaker, PeerSession } from "./peer_session.ts";
import type { ServedLink } from "./served_link.ts";

/** What the words of a peer need of its home. */
export interface WordsHome {
  readonly limits: Required<HomeLimits>;
  readonly authorize: Authorize | undefined;
  /** The features of the connection that the home serves; undefined until its transport is loaded. */
  readonly features: Features | undefined;
  open(name: string, options: Omit<LinkOptions, "retryTimeout">): Promise<ServedLink>;
}

/** What the words of a peer need of the peer. */
export interface WordsPeer extends LinkOwner, RequestOwner, AnswerTaker {
  readonly session: PeerSession;
  readonly holdings: PeerHoldings;
  send(header: string, body?: Uint8Array): void;
  /** A request of this size in bytes has arrived. */
  hold(size: number, isPut?: boolean): void;
  letGo(size: number, isPut?: boolean): void;
}

/** Handles the frames of an admitted peer: each word of the protocol but the greeting. */
export class PeerWords {
  readonly #home: WordsHome;
  readonly #peer: WordsPeer;

  constructor(home: WordsHome, peer: WordsPeer) {
    this.#home = home;
    this.#peer = peer;
  }

  /**
   * @param size the bytes of the frame
   * @throws {ProtocolError} if the peer does not follow the protocol
   */
  handle(frame: Frame, size: number): void {
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
        for (const arg of args) this.#peer.holdings.drop(numberOf(arg));
        return;
      case "ROOM":
        return this.#wait(frame, (link, request, group) => {
          const isAside = booleanField(fields, "aside") ?? false;
          return new PeerRoom(this.#peer, link, request, group, isAside);
        });
      case "EMPTY":
        return this.#wait(frame, (link, request) => new PeerEmpty(this.#peer, link, request));
      case "OPEN":
        return this.#open(frame);
      case "CLOSE":
        return this.#close(frame);
      case "SAY": {
        const isControl = isCloseAllEvent(body);
        const once = countField(fields, "once");
        return this.#call(frame, size, isControl ? "close" : "announce", (served) => {
          const announce = () => served.announce(body, isControl);
          return once === undefined ? announce() : this.#peer.session.announce(once, announce);
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
      case "STATS":
        return this.#call(frame, size, "depth", (served) => served.stats());
      case "DELETE":
        return this.#call(frame, size, "delete", (served) => served.delete());
      case "PING":
        return this.#peer.send("PONG");
      case "HELLO":
        throw new ProtocolError("a second HELLO");
    }
    const request = /^[1-9]\d{0,15}$/.test(args[1] ?? "") ? numberOf(args[1]) : undefined;
    if (request === undefined) return;
    this.#peer.refuse(
      request,
      new ChannelConfigError(`the home knows no ${word}; use another version`),
    );
  }

  #open({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    if (this.#peer.holdings.links.has(number)) {
      throw new ProtocolError("a link number is used again");
    }
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
      if (this.#peer.holdings.links.size >= limits.links) {
        throw limitError("attach", "links", limits.links);
      }
    } catch (error) {
      return this.#peer.refuse(request, error);
    }
    const link = new PeerLink(this.#peer, number, name, create, authorize);
    this.#peer.holdings.links.set(number, link);
    this.#peer.hold(0);
    this.#attach(link, {
      create,
      signal: link.closed.signal,
      observer: link,
      ...lease === undefined ? {} : { lease },
      ...capacity === undefined ? {} : { capacity },
      isNew: isNew === true && isAnonymous(name), // others may know any other name
      ...quorum === undefined ? {} : { quorum },
    }).then((served) => {
      this.#peer.send(`OK ${request}`);
      link.opened(served);
    }, (error) => {
      if (this.#peer.holdings.links.get(number) === link) this.#peer.holdings.links.delete(number);
      this.#peer.refuse(request, error);
      link.failed(error);
    }).finally(() => this.#peer.letGo(0));
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
    const link = this.#peer.holdings.links.get(number);
    if (link === undefined) return this.#peer.send(`OK ${request}`);
    this.#peer.holdings.links.delete(number);
    this.#peer.hold(0);
    this.#peer.holdings.leave(link, false).then(() => {
      this.#peer.send(`OK ${request}`);
      this.#peer.letGo(0);
    });
  }

  #put(frame: Frame, size: number): void {
    const { args, fields } = frame;
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    let message = messageOf(frame);
    const again = countField(fields, "again");
    const isTry = booleanField(fields, "try") ?? false;
    const link = this.#linkOf(number, request);
    if (link === undefined) return;
    try {
      checkPut(message, this.#home.features?.terms ?? []);
    } catch (error) {
      return this.#peer.refuse(request, error);
    }
    if (again !== undefined) {
      if (this.#peer.session.hasTaken(again)) return this.#peer.send(`OK ${request}`);
      const pending = this.#peer.session.pending(again);
      if (pending !== undefined) {
        this.#peer.hold(pending.size, true);
        return pending.answerTo(this.#peer, request, link);
      }
      if (this.#peer.session.isUncertain(again)) {
        message = { ...message, copy: (message.copy ?? 0) + 1 };
      }
    }
    this.#peer.hold(size, true);
    link.run(new PeerPut(this.#peer, link, request, again ?? request, message, { isTry, size }));
  }

  #take({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const counted = booleanField(fields, "counted") ?? false;
    const group = countField(fields, "group");
    const link = this.#linkOf(number, request);
    if (link === undefined || !this.#hasRoomFor(request)) return;
    this.#add(new PeerClaim(this.#peer, link, request, counted, group));
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
    this.#peer.holdings.add(request);
    request.link.run(request);
  }

  #try({ args, fields }: Frame): void {
    const number = numberOf(args[0]);
    const request = numberOf(args[1]);
    const counted = booleanField(fields, "counted") ?? false;
    const link = this.#linkOf(number, request);
    if (link === undefined || !this.#hasRoomFor(request)) return;
    const asked = Math.max(countField(fields, "count") ?? 1, 1);
    const count = Math.min(asked, mostTries, this.#peer.holdings.room);
    this.#peer.hold(0);
    this.#peer.holdings.tries += count;
    link.tries++;
    let lent = 0;
    const lend = (loan: Loan | undefined) => {
      if (loan !== undefined) this.#peer.lend(request + lent++, loan, link);
    };
    const end = (answer: () => void) => {
      this.#peer.holdings.tries -= count;
      this.#peer.letGo(0);
      answer();
      link.tryEnded();
    };
    link.run({
      action: "get",
      start: (served) => {
        takeThose(link, served, counted, count, lend).then(
          () => end(() => lent < asked && this.#peer.send(`NONE ${request + lent}`)),
          (error) => end(() => this.#peer.refuse(request + lent, error)),
        );
      },
      refuse: (error) => end(() => this.#peer.refuse(request, error)),
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
    this.#peer.hold(size);
    const refuse = (error: unknown) => {
      this.#peer.refuse(request, error);
      this.#peer.letGo(size);
    };
    link.run({
      action,
      start: (served) => {
        act(served).then((result) => {
          this.#peer.send(
            result === undefined ? `OK ${request}` : `OK ${request} ${JSON.stringify(result)}`,
          );
          this.#peer.letGo(size);
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
      const loan = this.#peer.holdings.take(request);
      if (loan !== undefined) settle(loan, flag);
    }
  }

  /** Returns a link; if the peer has none of this number, the request is refused. */
  #linkOf(number: number, request: number): PeerLink | undefined {
    const link = this.#peer.holdings.links.get(number);
    if (link === undefined) this.#peer.refuse(request, noLinkError());
    return link;
  }

  /** Reports whether a further loan or request that waits is within the limit; if not, the request is refused. */
  #hasRoomFor(request: number): boolean {
    const { loans } = this.#home.limits;
    this.#peer.holdings.checkNew(request);
    if (this.#peer.holdings.room > 0) return true;
    this.#peer.refuse(request, limitError("get", "values that are held or waited for", loans));
    return false;
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
 * has none, although puts wait. Nothing is taken for a link that the peer has closed meanwhile.
 *
 * @param lend called with each
 */
async function takeThose(
  link: PeerLink,
  served: ServedLink,
  counted: boolean,
  count: number,
  lend: (loan: Loan | undefined) => void,
): Promise<void> {
  if (count <= 1) return count === 1 ? lend(await served.tryTake(counted)) : undefined;
  const length = Math.min(count, await served.depth());
  if (link.isClosed) return;
  const tries = Array.from({ length }, () => served.tryTake(counted).then(lend));
  const outcomes = await Promise.allSettled(tries);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

function noLinkError(): ChannelConfigError {
  return new ChannelConfigError("the peer has no open link of this number; send OPEN first");
}
