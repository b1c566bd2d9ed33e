import { clearTimeout, setTimeout } from "node:timers";
import { patience } from "./granter.ts";
import type { Letter } from "./letter.ts";
import type { Gate, Outbox } from "./outbox.ts";
import type { Word } from "./words.ts";

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

/** Somebody who has granted something. */
interface Granter {
  readonly name: string;
  /** The number of the last grant. */
  seen: number;
  /** How many letters are on their way by grants of his. */
  flying: number;
  /** Whether one was, and he has granted nothing since. */
  isUsed: boolean;
  /** When the last of them arrived. */
  landed: number;
}

/**
 * Asks for grants while letters wait in an outbox, and has one sent for each.
 *
 * Any grant allows any letter, and which claim that reaches is the broker's choice: so a granter whose claim
 * another's grant has served may wait for nothing. Whoever grants nothing new within `linger` ms after his value has
 * arrived is told so.
 *
 * Invariants: letters or unused grants wait, never both. While letters wait, all have been asked. An unused
 * grant is kept for `linger` ms, for a put that follows, and refused then.
 */
export class Asker implements Gate {
  readonly #options: AskerOptions;
  readonly #outbox: Outbox;
  readonly #granters = new Map<string, Granter>();
  /** Whose grants are unused. */
  #unused: Granter[] = [];
  readonly #flying = new Map<Letter, Granter>();
  #isAsking = false;
  /** How many letters waited when that was last told. */
  #told = 0;
  #hasAskedHere = false;
  /** When all were asked; undefined where somebody may not know. */
  #asked: number | undefined;
  /** When something last happened. */
  #lastFlow = 0;
  #tries = 0;
  #isClosed = false;
  #check: ReturnType<typeof setTimeout> | undefined;
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
    for (let granter; this.#waiting > 0 && (granter = this.#unused.shift()) !== undefined;) {
      this.#use(granter);
    }
    if (this.#waiting === 0 || this.#isAsking) return;
    this.#isAsking = true;
    queueMicrotask(() => { // what else is put in this turn is told with it
      this.#isAsking = false;
      if (this.#waiting > 0 && !this.#isClosed) this.#ask();
    });
  }

  settled(letter: Letter): void {
    const granter = this.#flying.get(letter);
    if (granter !== undefined) {
      this.#flying.delete(letter);
      granter.flying--;
      granter.landed = this.#lastFlow = performance.now();
    }
    if (this.#granters.size > 0) this.#checkSoon();
  }

  granted(name: string, { number }: Word): void {
    const granter = this.#granters.get(name) ??
      { name, seen: 0, flying: 0, isUsed: false, landed: 0 };
    this.#granters.set(name, granter);
    granter.seen = number;
    granter.isUsed = false;
    this.#lastFlow = performance.now();
    this.#tries = 0;
    if (this.#waiting > 0) this.#use(granter);
    else this.#unused.push(granter);
    this.#checkSoon();
  }

  /** Somebody waits for values who may not have heard of this asker. */
  greeted(by: string): void {
    if (this.#asked !== undefined) this.#options.say(by, this.#word(0));
  }

  /** @param isLost whether nobody can be told */
  close(isLost: boolean): void {
    this.#isClosed = true;
    clearTimeout(this.#check);
    clearTimeout(this.#again);
    if (!isLost) this.#refuse();
  }

  get #waiting(): number {
    return this.#outbox.ungranted;
  }

  #word(number: number): Word {
    return { kind: "ask", number, wanted: this.#told = this.#waiting };
  }

  #ask(): void {
    const now = performance.now();
    // What was asked long ago, and was needed no more meanwhile, may have been forgotten.
    if (this.#again === undefined && now - (this.#asked ?? 0) > longestTrust) {
      this.#asked = undefined;
    }
    if (!this.#hasAskedHere) {
      this.#hasAskedHere = true;
      this.#options.sayHere(this.#word(0));
    }
    if (this.#waiting === 0) return;
    if (this.#asked === undefined) {
      this.#asked = now;
      this.#options.sayToAll(this.#word(0));
    } else if (this.#waiting > 2 * this.#told) {
      for (const granter of this.#granters.values()) this.#askFor(granter);
    }
    this.#startAgain();
  }

  /** Asks one who has granted, for more, or once more. */
  #askFor({ name, seen, flying }: Granter): void {
    this.#options.say(name, this.#word(flying === 0 ? seen : 0));
  }

  #use(granter: Granter): void {
    const letter = this.#outbox.grant();
    this.#flying.set(letter, granter);
    granter.flying++;
    granter.isUsed = true;
  }

  #checkSoon(): void {
    if (this.#check !== undefined || this.#isClosed) return;
    this.#check = setTimeout(() => {
      this.#check = undefined;
      this.#look();
    }, linger);
    this.#check.unref();
  }

  #look(): void {
    const limit = performance.now() - linger;
    if (this.#waiting === 0) {
      if (this.#flying.size > 0) return; // the last that lands has this looked at
      if (this.#lastFlow > limit) return this.#checkSoon();
      return this.#refuse();
    }
    for (const granter of this.#granters.values()) {
      if (!granter.isUsed || granter.flying > 0) continue;
      if (granter.landed > limit) {
        this.#checkSoon();
      } else {
        granter.isUsed = false;
        this.#askFor(granter);
      }
    }
  }

  /** Nothing is to be put: those who granted are to grant no more. */
  #refuse(): void {
    this.#unused = [];
    if (this.#granters.size === 0) return;
    this.#hasAskedHere = false;
    this.#asked = undefined;
    const granters = [...this.#granters.values()];
    this.#granters.clear();
    for (const { name, seen } of granters) {
      this.#options.say(name, { kind: "no", number: seen, wanted: 0 });
    }
  }

  /** An announcement may be lost with a connection, and who was stopped is forgotten. */
  #startAgain(): void {
    if (this.#again !== undefined) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      if (this.#waiting === 0 || this.#isClosed) return;
      this.#tries++;
      this.#asked = performance.now();
      this.#options.sayHere(this.#word(0));
      this.#options.sayToAll(this.#word(0));
      this.#options.doubt();
      this.#startAgain();
    }, Math.min(firstPause * 2 ** this.#tries, longestPause));
    this.#again.unref();
  }
}

/** Milliseconds for which an unused grant is kept, and within which whoever got a value grants anew. */
const linger = 15;
/** Milliseconds after which all are asked again; twice as many each time. */
const firstPause = 1000;
const longestPause = 30_000;
/** Milliseconds for which it counts that all were asked. */
const longestTrust = 5000;
