import { clearTimeout, setTimeout } from "node:timers";
import { patience } from "./granter.ts";
import type { Gate, Outbox } from "./outbox.ts";
import type { Grant, Word } from "./words.ts";

/** What an asker works with. */
export interface AskerOptions {
  readonly outbox: Outbox;
  /** To the claims of this process. */
  sayHere(word: Word): void;
  say(to: string, word: Word): void;
  sayToAll(word: Word): void;
  /** Nobody has answered for long: the channel may be gone. */
  doubt(): void;
}

/**
 * Asks for grants while letters wait in an outbox, and has one sent for each. Any grant allows any letter.
 *
 * Invariants: letters or unused grants wait, never both. While letters wait, all have been asked. An unused
 * grant is kept for `linger` ms, for a put that follows, and refused then.
 */
export class Asker implements Gate {
  readonly #options: AskerOptions;
  readonly #outbox: Outbox;
  /** Who has granted something since all were asked. */
  readonly #granters = new Set<string>();
  #unused: Grant[] = [];
  #isAsking = false;
  /** How many letters waited when that was last told. */
  #told = 0;
  #hasAskedHere = false;
  /** When all were asked; undefined where somebody may not know. */
  #asked: number | undefined;
  /** When a letter was last granted, or a grant came. */
  #lastFlow = 0;
  #tries = 0;
  #isClosed = false;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(options: AskerOptions) {
    this.#options = options;
    this.#outbox = options.outbox;
  }

  get isShut(): boolean {
    if (this.#asked === undefined || this.#unused.length > 0) return false;
    const now = performance.now();
    return now - this.#asked > patience && now - this.#lastFlow > patience &&
      now - this.#asked < longestTrust;
  }

  wanted(): void {
    while (this.#waiting > 0 && this.#unused.length > 0) this.#use(this.#unused.shift()!);
    if (this.#waiting === 0 || this.#isAsking) return;
    this.#isAsking = true;
    queueMicrotask(() => { // what else is put in this turn is told with it
      this.#isAsking = false;
      if (this.#waiting > 0 && !this.#isClosed) this.#ask();
    });
  }

  granted(grant: Grant): void {
    this.#granters.add(grant.granter);
    this.#tries = 0;
    this.#lastFlow = performance.now();
    if (this.#waiting > 0) this.#use(grant);
    else this.#unused.push(grant);
    this.#restSoon();
  }

  revoked({ granter, number }: Grant): void {
    const at = this.#unused.findIndex((one) => one.granter === granter && one.number === number);
    if (at === -1) return;
    this.#unused.splice(at, 1);
    this.#options.say(granter, { kind: "taken", number });
  }

  /** Somebody waits for values who may not have heard of this asker. */
  greeted(by: string): void {
    if (this.#asked !== undefined) this.#options.say(by, this.#word());
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#rest);
    clearTimeout(this.#again);
    this.#refuse();
  }

  get #waiting(): number {
    return this.#outbox.ungranted;
  }

  #word(): Word {
    return { kind: "ask", number: this.#told = this.#waiting };
  }

  #ask(): void {
    const now = performance.now();
    // What was asked long ago, and was needed no more meanwhile, may have been forgotten.
    if (this.#again === undefined && now - (this.#asked ?? 0) > longestTrust) {
      this.#asked = undefined;
    }
    if (!this.#hasAskedHere) {
      this.#hasAskedHere = true;
      this.#options.sayHere(this.#word());
    }
    if (this.#waiting === 0) return;
    if (this.#asked === undefined) {
      this.#asked = now;
      this.#options.sayToAll(this.#word());
    } else if (this.#waiting > 2 * this.#told) {
      for (const granter of this.#granters) this.#options.say(granter, this.#word());
    }
    this.#startAgain();
  }

  #use(grant: Grant): void {
    this.#lastFlow = performance.now();
    this.#outbox.grant(grant);
  }

  #restSoon(): void {
    if (this.#rest !== undefined || this.#isClosed) return;
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      if (this.#waiting > 0 || this.#lastFlow > performance.now() - linger) this.#restSoon();
      else this.#refuse();
    }, linger);
    this.#rest.unref();
  }

  /** Nothing is to be put: those who granted are to grant no more. */
  #refuse(): void {
    if (this.#granters.size === 0) return;
    this.#hasAskedHere = false;
    this.#asked = undefined;
    const unused = this.#unused;
    this.#unused = [];
    const others = new Set(this.#granters);
    this.#granters.clear();
    for (const { granter, number } of unused) {
      others.delete(granter);
      this.#options.say(granter, { kind: "no", number });
    }
    for (const granter of others) this.#options.say(granter, { kind: "no", number: 0 });
  }

  /** An announcement may be lost with a connection, and who was stopped is forgotten. */
  #startAgain(): void {
    if (this.#again !== undefined) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      if (this.#waiting === 0 || this.#isClosed) return;
      this.#tries++;
      this.#asked = performance.now();
      this.#options.sayHere(this.#word());
      this.#options.sayToAll(this.#word());
      this.#options.doubt();
      this.#startAgain();
    }, Math.min(firstPause * 2 ** this.#tries, longestPause));
    this.#again.unref();
  }
}

/** Milliseconds for which an unused grant is kept. */
const linger = 15;
/** Milliseconds after which all are asked again; twice as many each time. */
const firstPause = 1000;
const longestPause = 30_000;
/** Milliseconds for which it counts that all were asked. */
const longestTrust = 5000;
