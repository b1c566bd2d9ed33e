import { clearImmediate, clearTimeout, setImmediate, setTimeout } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { isMissing } from "../failure.ts";
import type { ScriptName } from "../scripts/mod.ts";

/** Runs a script on the live connection of the link; undefined while there is none. */
export type RunScript =
  | ((script: ScriptName, args: readonly string[]) => Promise<unknown>)
  | undefined;

/** A message as the server knows it. */
export interface KnownMessage {
  /** What the server knows its loan by. */
  readonly entry: string;
  readonly id: string | undefined;
}

/** How a message was settled. */
interface Settlement extends KnownMessage {
  /** How often it was tried, or "-" if nobody has had it; undefined if it was accepted. */
  readonly tried?: string;
}

/**
 * The loans of one link that were settled and of which the server does not know, over all connections. Few scripts
 * settle many: they leave at the end of the turn of the event loop, or before the next operation, so that a put finds the room
 * that an acceptance has made.
 */
export class RedisSettlements {
  readonly #processRef: ProcessRef;
  readonly #run: () => RunScript;
  /** The settlements that are not confirmed, by their loans. */
  readonly #pending = new Map<string, Settlement>();
  #accepted: Settlement[] = [];
  #released: Settlement[] = [];
  #immediate: ReturnType<typeof setImmediate> | undefined;
  /** What the server has refused, and the timer after which it is sent again. */
  readonly #refused: Settlement[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #refusals = 0;

  /** @param run returns what runs a script now */
  constructor(processRef: ProcessRef, run: () => RunScript) {
    this.#processRef = processRef;
    this.#run = run;
  }

  /** The messages whose settlement is not confirmed. */
  get messages(): Iterable<KnownMessage> {
    return this.#pending.values();
  }

  /** What is not confirmed, as the server knows it: the loans that were accepted, and those that were released. */
  get unconfirmed(): { accepted: string[]; released: [string, string][] } {
    const accepted: string[] = [];
    const released: [string, string][] = [];
    for (const { entry, tried } of this.#pending.values()) {
      if (tried === undefined) accepted.push(entry);
      else released.push([entry, tried]);
    }
    return { accepted, released };
  }

  accept({ entry, id }: KnownMessage): void {
    this.#add({ entry, id }, this.#accepted);
  }

  /** @param tried how often it was tried, or "-" if nobody has had it */
  release({ entry, id }: KnownMessage, tried: string): void {
    this.#add({ entry, id, tried }, this.#released);
  }

  #add(settlement: Settlement, unsent: Settlement[]): void {
    this.#pending.set(settlement.entry, settlement);
    unsent.push(settlement);
    this.#flushSoon();
  }

  /** Sends what is not sent, on the live connection. */
  flush(): void {
    if (this.#accepted.length + this.#released.length === 0) return;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    const run = this.#run();
    if (run === undefined) return;
    const accepted = this.#accepted;
    const released = this.#released;
    this.#accepted = [];
    this.#released = [];
    for (let i = 0; i < accepted.length; i += most) {
      const part = accepted.slice(i, i + most);
      this.#send(run("accept", part.map(({ entry }) => entry)), part);
    }
    // The entries begin with the numbers of the messages, so no younger one comes to a waiting claim first.
    released.sort((a, b) => a.entry < b.entry ? -1 : 1);
    for (let i = 0; i < released.length; i += mostReleased) {
      const part = released.slice(i, i + mostReleased);
      this.#send(run("release", part.flatMap(({ entry, tried }) => [entry, tried!])), part);
    }
  }

  /** Runs the deletion of the channel in place of what is not sent, which is sent after all if the deletion fails. */
  async replacedBy<T>(deletion: () => Promise<T>): Promise<T> {
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    const unsent = [...this.#accepted, ...this.#released];
    this.#accepted = [];
    this.#released = [];
    try {
      const reply = await deletion();
      this.#forget(unsent);
      return reply;
    } catch (error) {
      for (const each of unsent) if (this.#isLast(each)) this.#toSend(each);
      this.flush();
      throw error;
    }
  }

  /**
   * Sends all again, on a new connection: those whose messages the link still holds there. Returns the other messages that were
   * accepted: the acceptance has taken effect, or another process has the message.
   */
  resume(isKept: (entry: string) => boolean): KnownMessage[] {
    this.#stopRetry();
    this.#accepted = [];
    this.#released = [];
    const lost: KnownMessage[] = [];
    for (const settlement of [...this.#pending.values()]) {
      if (isKept(settlement.entry)) this.#toSend(settlement);
      else {
        this.#pending.delete(settlement.entry);
        if (settlement.tried === undefined) lost.push(settlement);
      }
    }
    this.flush();
    return lost;
  }

  #send(answer: Promise<unknown>, sent: readonly Settlement[]): void {
    this.#processRef.refWhile(answer).then(
      () => {
        this.#refusals = 0;
        this.#forget(sent);
      },
      (error) => isMissing(error) ? this.#forget(sent) : this.#setAside(sent),
    );
  }

  #forget(settlements: readonly Settlement[]): void {
    for (const each of settlements) if (this.#isLast(each)) this.#pending.delete(each.entry);
  }

  /** Whether the loan was not settled again. */
  #isLast(settlement: Settlement): boolean {
    return this.#pending.get(settlement.entry) === settlement;
  }

  /** The server has refused some, for example because the user may not run scripts now. They are sent again. */
  #setAside(settlements: readonly Settlement[]): void {
    if (this.#run() === undefined) return; // the connection is lost: `resume` follows
    this.#refused.push(...settlements);
    if (this.#retry === undefined) this.#refusals++;
    const pause = backOff(this.#refusals, shortestPause, longestPause);
    this.#retry ??= setTimeout(() => this.sendAll(), pause);
    this.#retry.unref();
  }

  #toSend(settlement: Settlement): void {
    (settlement.tried === undefined ? this.#accepted : this.#released).push(settlement);
  }

  /** Sends what is not sent, and what was refused. */
  sendAll(): void {
    for (const each of this.#stopRetry()) if (this.#isLast(each)) this.#toSend(each);
    this.flush();
  }

  /** Returns what was refused, which is not sent again by itself. */
  #stopRetry(): Settlement[] {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    return this.#refused.splice(0);
  }

  #flushSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.flush();
    });
  }
}

/** How many messages one script accepts. */
const most = 256;

/** How many messages one script releases: of these, a waiting claim gets the one of the highest priority. */
const mostReleased = 2000;

/** Milliseconds before what the server has refused is sent again. */
const shortestPause = 100;
const longestPause = 10_000;
