import { clearImmediate, setImmediate } from "node:timers";
import type { ProcessRef } from "../remote/process_ref.ts";
import type { ScriptName } from "./scripts/mod.ts";

/** Runs a script on the live connection of the link; undefined while there is none. */
export type RunScript =
  | ((script: ScriptName, args: readonly string[]) => Promise<unknown>)
  | undefined;

/** A message as the server knows it. */
export interface KnownMessage {
  /** Its number in the channel. */
  readonly seq: string;
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
  /** The last settlement of each message, if it is not confirmed. */
  readonly #pending = new Map<string, Settlement>();
  #accepted: Settlement[] = [];
  #released: Settlement[] = [];
  #immediate: ReturnType<typeof setImmediate> | undefined;

  /** @param run returns what runs a script now */
  constructor(processRef: ProcessRef, run: () => RunScript) {
    this.#processRef = processRef;
    this.#run = run;
  }

  /** The messages whose settlement is not confirmed. */
  get messages(): Iterable<KnownMessage> {
    return this.#pending.values();
  }

  accept({ seq, entry, id }: KnownMessage): void {
    this.#add({ seq, entry, id }, this.#accepted);
  }

  /** @param tried how often it was tried, or "-" if nobody has had it */
  release({ seq, entry, id }: KnownMessage, tried: string): void {
    this.#add({ seq, entry, id, tried }, this.#released);
  }

  #add(settlement: Settlement, unsent: Settlement[]): void {
    this.#pending.set(settlement.seq, settlement);
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
    for (let i = 0; i < released.length; i += most) {
      const part = released.slice(i, i + most);
      this.#send(run("release", part.flatMap(({ entry, tried }) => [entry, tried!])), part);
    }
  }

  /** Sends all again, on a new connection: those whose messages the link still holds there. */
  resume(isKept: (seq: string) => boolean): void {
    this.#accepted = [];
    this.#released = [];
    for (const settlement of [...this.#pending.values()]) {
      if (!isKept(settlement.seq)) this.#pending.delete(settlement.seq);
      else (settlement.tried === undefined ? this.#accepted : this.#released).push(settlement);
    }
    this.flush();
  }

  #send(answer: Promise<unknown>, sent: readonly Settlement[]): void {
    this.#processRef.refWhile(answer).then(
      () => {
        for (const each of sent) {
          if (this.#pending.get(each.seq) === each) this.#pending.delete(each.seq);
        }
      },
      // The next connection sends them again. If the server has refused it, the end of the session gives them back.
      () => {},
    );
  }

  #flushSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.flush();
    });
  }
}

/** How many messages one script settles. */
const most = 256;
