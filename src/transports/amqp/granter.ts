import { clearTimeout, setTimeout } from "node:timers";
import type { Grant, Word } from "./words.ts";

/** What a granter works with. */
export interface GranterOptions {
  /** How those whom it grants something know it. */
  readonly own: string;
  /** How many claims wait here. */
  claims(): number;
  /** How many of them, as far as the broker has nothing for them. */
  dryClaims(): number;
  say(to: string, word: Word): void;
  sayToAll(word: Word): void;
}

/**
 * Grants the claims of this process to those who ask to put, in turn.
 *
 * Which receiver's claim a value reaches is the broker's choice: so it may be here that another's grant is
 * used up, and at another's that ours is. Whoever has the value tells the granter so, who may grant anew; but not
 * before he has himself a claim for each grant of his own that is open. So at any time, over all receivers, no
 * more grants are open than claims wait, unless a claim is withdrawn or gets a value that was released.
 *
 * Invariants: a grant is open until its value is taken, it is refused, or too much time has passed. While a
 * claim is free, nobody who asked is left without a grant, unless he has as many as he wanted.
 */
export class Granter {
  readonly #options: GranterOptions;
  /** Who asked, with how many values they have; who was granted last comes last. */
  readonly #askers = new Map<string, number>();
  /** By number. */
  readonly #open = new Map<
    number,
    { readonly asker: string; readonly lapse: ReturnType<typeof setTimeout>; isRevoked: boolean }
  >();
  /** Grants of others that were used up here, and who do not know yet. */
  readonly #owed: Grant[] = [];
  /** When all were told that values are waited for here. */
  #greeted: number | undefined;
  #isRevoking = false;
  #isClosed = false;
  readonly #onAsked: (() => void)[] = [];

  constructor(options: GranterOptions) {
    this.#options = options;
  }

  ask(asker: string, wanted: number): void {
    this.#askers.set(asker, Math.max(wanted, 1));
    if (this.#askers.size > mostAskers) {
      const [oldest] = this.#askers.keys();
      this.#askers.delete(oldest!);
      this.#greeted = undefined;
    }
    for (const resolve of this.#onAsked.splice(0)) resolve();
    this.grant();
  }

  refused(asker: string, number: number): void {
    this.#askers.delete(asker);
    this.#end(number);
    this.grant();
  }

  /** A value has been taken that was sent by a grant of this process. */
  taken(number: number): void {
    this.#end(number);
    this.grant();
  }

  /** A value has been taken here. */
  takenHere(grant: Grant): void {
    if (grant.granter === this.#options.own) this.#end(grant.number);
    else this.#owed.push(grant);
    this.#pay();
  }

  /** A claim was given up: a grant that is not used yet is to be used no more. */
  withdrawn(): void {
    // Nobody here is to be granted by a claim that he has just given up, as a select may that sends instead.
    this.#revoke(this.#options.claims() + this.#owed.length, this.#options.own);
    if (this.#isRevoking) return;
    this.#isRevoking = true;
    queueMicrotask(() => { // another claim may come in this turn
      this.#isRevoking = false;
      if (!this.#isClosed) this.#revoke(this.#options.claims() + this.#owed.length);
    });
  }

  /**
   * @param rest how many grants are to stay
   * @param of whose grants are revoked; all without
   */
  #revoke(rest: number, of?: string): void {
    const open = [...this.#open].filter(([, { isRevoked }]) => !isRevoked);
    for (const [number, grant] of open.slice(rest)) { // the last, which are the least likely to be used
      if (of !== undefined && grant.asker !== of) continue;
      grant.isRevoked = true;
      this.#options.say(grant.asker, { kind: "revoke", number });
    }
  }

  /** Grants what can be granted. */
  grant(): void {
    if (this.#isClosed) return;
    this.#pay();
    if (this.#options.dryClaims() === 0) return;
    this.#greet();
    for (let asker; (asker = this.#next()) !== undefined;) {
      const wanted = this.#askers.get(asker)!;
      this.#askers.delete(asker);
      this.#askers.set(asker, wanted);
      const number = ++lastNumber;
      this.#open.set(number, { asker, lapse: this.#startLapse(number, asker), isRevoked: false });
      this.#options.say(asker, { kind: "grant", number });
    }
  }

  get hasGranted(): boolean {
    return this.#open.size > 0;
  }

  /** Whether somebody asks, as far as can be known within `patience` ms. */
  async isAsked(): Promise<boolean> {
    this.#greet();
    const rest = this.#greeted! + patience - performance.now();
    if (this.#askers.size === 0 && rest > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, rest);
        this.#onAsked.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.#askers.size > 0;
  }

  close(): void {
    this.#isClosed = true;
    for (const { granter, number } of this.#owed.splice(0)) {
      this.#options.say(granter, { kind: "taken", number });
    }
    this.#revoke(0);
    for (const number of this.#open.keys()) this.#end(number);
    for (const resolve of this.#onAsked.splice(0)) resolve();
  }

  #greet(): void {
    if (this.#greeted !== undefined) return;
    this.#greeted = performance.now();
    this.#options.sayToAll({ kind: "hello", number: 0 });
  }

  /** Tells others that their grants are used up, as far as claims are left for ours. */
  #pay(): void {
    while (this.#owed.length > Math.max(this.#open.size - this.#options.claims(), 0)) {
      const { granter, number } = this.#owed.shift()!;
      this.#options.say(granter, { kind: "taken", number });
    }
  }

  /** Who gets the next grant. */
  #next(): string | undefined {
    if (this.#isClosed || this.#options.dryClaims() <= this.#open.size) return undefined;
    const granted = new Map<string, number>();
    for (const { asker } of this.#open.values()) granted.set(asker, (granted.get(asker) ?? 0) + 1);
    for (const [asker, wanted] of this.#askers) {
      if ((granted.get(asker) ?? 0) < wanted) return asker;
    }
  }

  /** Who died, or is stopped, must hold up nobody; whoever is alive asks again. */
  #startLapse(number: number, asker: string): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      this.#open.delete(number);
      this.#askers.delete(asker);
      this.grant();
    }, longestGrant);
    timer.unref();
    return timer;
  }

  #end(number: number): void {
    clearTimeout(this.#open.get(number)?.lapse);
    this.#open.delete(number);
  }
}

/** Numbers of grants go on over all channels and connections of this process. */
let lastNumber = 0;

/** Milliseconds for which a grant is open. */
const longestGrant = 1000;

/** So many askers are remembered; more are told to ask again. */
const mostAskers = 1000;

/** Milliseconds after which those who wait have been heard of, as far as can be told. */
export const patience = 100;
