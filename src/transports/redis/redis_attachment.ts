import type { Buffer } from "node:buffer";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { longestTimer } from "../../shared/timers.ts";
import type { Claim, RoomWaiter } from "../transport.ts";
import { RedisGetter } from "./gets/redis_getter.ts";
import type { RedisLoan, RedisLoanOwner } from "./gets/loan.ts";
import {
  messageParameters,
  putParameters,
  type RedisDestination,
  type RedisOutbox,
  unreplicated,
} from "./puts/redis_outbox.ts";
import type { RedisSettlements } from "./gets/redis_settlements.ts";
import type { ScriptName } from "./scripts/mod.ts";
import type { LinkSession, NotifiedLink } from "./connection/link_session.ts";
import { inParts } from "./in_parts.ts";
import type { Watched } from "./connection/watch.ts";

/** The link of an attachment. It outlasts its attachments. */
export interface RedisAttachmentOwner extends RedisLoanOwner {
  readonly name: string;
  readonly key: string;
  readonly quorum: boolean;
  readonly outbox: RedisOutbox;
  readonly settlements: RedisSettlements;
  /** A claimant gets a loan. */
  lent(loan: RedisLoan): void;
  /** Reports whether a message that has come is one that a claimant here holds or has accepted, and then keeps it from others. */
  keepsBack(loan: RedisLoan): boolean;
  /** Returns the error for what the server has refused; undefined if the connection is lost. */
  refusal(action: string, error: unknown): Error | undefined;
  groupOf(group: object | undefined): string;
  /** Returns a number for a claim that no other claim of the link has. */
  nextClaim(): number;
  /** Another link has announced an event. */
  notifiedOfEvent(number: number, event: Buffer): void;
  closed(): void;
  gone(): void;
}

/** The attachment of a link on one connection. */
export class RedisAttachment implements NotifiedLink, RedisDestination, Watched {
  readonly session: LinkSession;
  /** The name under which scripts know the link: `SESSION/LINK`. */
  readonly holder: string;
  readonly getter: RedisGetter;
  capacity: number | undefined;
  /** The number that the link gave to its last announcement of which an earlier connection has told the server. */
  announced = 0;
  /** A random text that the channel got as it was created. */
  epoch: string = unknownEpoch;
  readonly #owner: RedisAttachmentOwner;
  readonly #roomWaiters = new Map<RoomWaiter, string>();
  readonly #byAsker = new Map<string, RoomWaiter>();
  #askers = 0;
  #isWatched = false;
  #isNext = false;
  #keeper: ReturnType<typeof setInterval> | undefined;
  #due: { readonly at: number; readonly timer: ReturnType<typeof setTimeout> } | undefined;
  #isOver = false;

  constructor(session: LinkSession, owner: RedisAttachmentOwner) {
    this.session = session;
    this.#owner = owner;
    this.holder = session.addLink(this);
    const { outbox } = owner;
    this.getter = new RedisGetter({
      name: owner.name,
      processRef: session.processRef,
      run: (script, args) => {
        if (outbox.isPending) outbox.flush();
        return this.run(script, args);
      },
      settled: (loan) => owner.settled(loan),
      giveBack: (loan) => owner.settlements.release(loan, "-"),
      lent: (loan) => owner.lent(loan),
      keepsBack: (loan) => owner.keepsBack(loan),
      refusal: (error) => owner.refusal("get", error),
      groupOf: (group) => owner.groupOf(group),
      nextClaim: () => owner.nextClaim(),
      noteDue: (ms) => this.noteDue(ms),
      waitingChanged: () => this.#updateWatch(),
      isNext: () => this.#setNext(true),
      claimsSent: () => outbox.flush(),
    });
    if (owner.quorum && session.state.replicas === 0) {
      session.warn(
        `${session.address} has no replica, so a put with durability "quorum" is confirmed by one server; add a replica`,
      );
    }
  }

  /** Renews the lease of the channel from now on. */
  keep(): void {
    // The channels that a process has made at once are not renewed at once.
    this.#keeper ??= interval(keepTime * (0.7 + 0.3 * Math.random()), () => this.tick());
  }

  /** Runs the script that attaches. @param args what follows the holder */
  // deno-lint-ignore no-explicit-any -- each script has its own reply
  attach(args: readonly string[]): Promise<any> {
    return this.session.run("attach", this.#owner.key, [this.holder, ...args]);
  }

  /** Runs a script of the link, after what was settled before. */
  // deno-lint-ignore no-explicit-any -- each script has its own reply
  run(script: ScriptName, args: readonly (string | Buffer)[] = []): Promise<any> {
    this.#owner.settlements.flush();
    return this.runAside(script, args);
  }

  /** Runs a script of the link. */
  // deno-lint-ignore no-explicit-any -- each script has its own reply
  runAside(script: ScriptName, args: readonly (string | Buffer)[]): Promise<any> {
    return this.session.run(script, this.#owner.key, [this.holder, this.epoch, ...args]);
  }

  /**
   * Detaches the link.
   *
   * @param asked what it has asked for
   * @param holder the name of a former attachment that is detached instead
   */
  async detach(asked: readonly string[], holder: string = this.holder): Promise<void> {
    const parts = inParts(asked);
    const detach = (isLast: boolean, entries: readonly string[] = []) =>
      this.session.run("detach", this.#owner.key, [
        holder,
        this.epoch,
        isLast ? "0" : "1",
        ...entries,
      ]);
    const last = parts.length - 1;
    const replies = await Promise.all(parts.map((part, i) => detach(i === last, part)));
    let reply = replies[last];
    while (reply === hasLeft) reply = await detach(true);
  }

  // RedisDestination

  get largest(): number {
    return this.session.state.largest;
  }

  hasClaimsHere(): boolean {
    return this.getter.hasClaimsHere;
  }

  async put(args: readonly (string | Buffer)[]): Promise<number[]> {
    if (this.getter.isPending) this.getter.flush();
    const putting = this.run("put", args);
    if (!this.#owner.quorum) return await putting;
    const [outcomes, isReplicated]: [number[], boolean] = await Promise.all([
      putting,
      this.session.isReplicated(),
    ]);
    if (isReplicated) return outcomes;
    const count = (args.length - putParameters) / messageParameters;
    return outcomes.map((outcome, i) => i < count && outcome === 1 ? unreplicated : outcome);
  }

  unask(): void {
    this.run("unask", ["0 "]).catch(() => {}); // the end of the session forgets it
  }

  noteDue(ms: number): void {
    if (ms < 0 || this.#isOver) return;
    const at = performance.now() + ms;
    if (this.#due !== undefined && this.#due.at <= at) return;
    clearTimeout(this.#due?.timer);
    const timer = setTimeout(() => {
      this.#due = undefined;
      this.tick();
    }, Math.min(Math.ceil(ms), longestTimer));
    timer.unref();
    this.#due = { at, timer };
  }

  // Watched

  get isNext(): boolean {
    return this.#isNext && this.getter.isWaiting;
  }

  /** Has the server look for what is due, and for what dead processes held. */
  async tick(isUrgent = false): Promise<void> {
    if (this.#isOver) return;
    try {
      const [due, isNext] = await this.runAside("tick", [isUrgent ? "1" : "0"]);
      this.noteDue(due);
      this.#setNext(isNext === 1);
    } catch (error) {
      this.#owner.refusal("look", error); // which notes that the channel is gone
    }
  }

  #setNext(isNext: boolean): void {
    this.#isNext = isNext;
    if (this.isNext) this.session.watch.next(this);
  }

  /** While something waits, someone must look for what dead processes held. */
  #updateWatch(): void {
    const isWaiting = !this.#isOver &&
      (this.getter.isWaiting || this.#roomWaiters.size > 0 || this.#owner.outbox.isFull);
    if (isWaiting === this.#isWatched) return;
    this.#isWatched = isWaiting;
    if (isWaiting) this.session.watch.add(this);
    else this.session.watch.delete(this);
  }

  // Room

  awaitRoom(waiter: RoomWaiter): void {
    const number = String(++this.#askers);
    const group = this.#owner.groupOf(waiter.group);
    this.#roomWaiters.set(waiter, number);
    this.#byAsker.set(number, waiter);
    this.session.processRef.ref();
    this.#updateWatch();
    const { outbox } = this.#owner;
    if (outbox.isPending) outbox.flush();
    if (this.getter.isPending) this.getter.flush();
    this.run("ask", [number, group]).then(
      ([hasRoom, due]) => {
        if (hasRoom === 1) this.#tell(waiter);
        else this.noteDue(due);
      },
      (error) => this.#owner.refusal("put", error) !== undefined && this.#tell(waiter), // the offer learns it
    );
  }

  #tell(waiter: RoomWaiter): void {
    if (this.#endWaiting(waiter)) waiter.tryAgain();
  }

  #endWaiting(waiter: RoomWaiter): boolean {
    const number = this.#roomWaiters.get(waiter);
    if (number === undefined) return false;
    this.#roomWaiters.delete(waiter);
    this.#byAsker.delete(number);
    this.session.processRef.unref();
    this.#updateWatch();
    return true;
  }

  withdraw(one: Claim | RoomWaiter): boolean {
    const number = this.#roomWaiters.get(one as RoomWaiter);
    if (number === undefined) return this.getter.withdraw(one as Claim);
    this.#endWaiting(one as RoomWaiter);
    const group = this.#owner.groupOf((one as RoomWaiter).group);
    this.run("unask", [`${number} ${group}`]).catch(() => {}); // the end of the session forgets it
    return true;
  }

  /** The outbox waits for room, or does so no more. */
  fullChanged(): void {
    this.#updateWatch();
  }

  // NotifiedLink

  notified(words: readonly string[], bytes: Buffer): void {
    const number = /^\d{1,15}(?:\.\d+)?$/.test(words[1] ?? "") ? Number(words[1]) : undefined;
    switch (words[0]) {
      case "lend":
        return this.getter.notifiedOfLoan(words, bytes);
      case "room":
        return this.#notifiedOfRoom(words[1] ?? "");
      case "due":
        return number === undefined ? undefined : this.noteDue(number);
      case "announced":
        return number === undefined ? undefined : this.#owner.notifiedOfEvent(number, bytes);
      case "over":
        return this.getter.over();
      case "closed":
        return this.#owner.closed();
      case "gone":
        return this.#owner.gone();
    }
  }

  #notifiedOfRoom(number: string): void {
    if (number === "0") return this.#owner.outbox.notifiedOfRoom();
    const waiter = this.#byAsker.get(number);
    if (waiter !== undefined) this.#tell(waiter);
  }

  /** Tells all waiters for room that they may try again. */
  tellAll(): void {
    for (const waiter of [...this.#roomWaiters.keys()]) this.#tell(waiter);
  }

  /** What the link has asked for, as the server notes it: `<` and entries of takers, `>` and entries of askers. */
  get asked(): string[] {
    const claims = [...this.getter.entries].map((entry) => `<${this.holder} ${entry}`);
    const waiters = [...this.#roomWaiters].map(([{ group }, number]) =>
      `>${this.holder} ${number} ${this.#owner.groupOf(group)}`
    );
    return [...claims, ...waiters, `>${this.holder} 0 `];
  }

  /** Ends the attachment, and returns what was not served, in its order. */
  takeAll(): (Claim | RoomWaiter)[] {
    this.#isOver = true;
    const all = [...this.getter.takeAll(), ...this.#roomWaiters.keys()];
    for (const waiter of [...this.#roomWaiters.keys()]) this.#endWaiting(waiter);
    this.#updateWatch();
    clearInterval(this.#keeper);
    clearTimeout(this.#due?.timer);
    this.session.removeLink(this.holder);
    return all;
  }
}

function interval(ms: number, call: () => void): ReturnType<typeof setInterval> {
  const timer = setInterval(call, ms);
  timer.unref();
  return timer;
}

/** The reply to a detachment that has given back a part of what the link held. */
const hasLeft = 2;

/** Milliseconds after which a link renews the lease of its channel at the latest; the keys last 600 s longer than the lease. */
const keepTime = 200_000;

/** Stands for any epoch: that of a channel whose attachment is not answered. */
export const unknownEpoch = "*";
