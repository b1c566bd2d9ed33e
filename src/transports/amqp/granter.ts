import { clearTimeout, setTimeout } from "node:timers";
import type { Word } from "./words.ts";

/** What a granter works with. */
export interface GranterOptions {
  /** How many claims wait here, as far as the broker has nothing for them. */
  claims(): number;
  say(to: string, word: Word): void;
  sayToAll(word: Word): void;
}

/**
 * Grants the claims of this process to those who ask to put, in turn.
 *
 * Invariants: no more grants are given than claims wait; a grant is open until a value arrives, its asker
 * needs it no more, or too much time has passed. While a claim is free, nobody who asked is left without
 * a grant, unless he has as many as he wanted.
 */
export class Granter {
  readonly #options: GranterOptions;
  /** Who asked, with how many values they have; who was granted last comes last. */
  readonly #askers = new Map<string, number>();
  /** By number, the oldest first. */
  readonly #grants = new Map<
    number,
    { readonly asker: string; readonly lapse: ReturnType<typeof setTimeout> }
  >();
  /** When all were told that values are waited for here. */
  #greeted: number | undefined;
  #isClosed = false;
  readonly #onAsked: (() => void)[] = [];

  constructor(options: GranterOptions) {
    this.#options = options;
  }

  ask(asker: string, { number, wanted }: Word): void {
    this.#end(asker, number);
    this.#askers.set(asker, Math.max(wanted, 1));
    if (this.#askers.size > mostAskers) {
      const [oldest] = this.#askers.keys();
      this.#askers.delete(oldest!);
      this.#greeted = undefined;
    }
    for (const resolve of this.#onAsked.splice(0)) resolve();
    this.grant();
  }

  refuse(asker: string, { number }: Word): void {
    this.#end(asker, number);
    this.#askers.delete(asker);
    this.grant();
  }

  /** A value has come that nobody has had before. */
  arrived(): void {
    for (const number of this.#grants.keys()) return this.#close(number);
  }

  /** Grants what can be granted. */
  grant(): void {
    if (this.#isClosed || this.#options.claims() === 0) return;
    this.#greet();
    for (let asker; (asker = this.#next()) !== undefined;) {
      const wanted = this.#askers.get(asker)!;
      this.#askers.delete(asker);
      this.#askers.set(asker, wanted);
      const number = ++lastNumber;
      this.#grants.set(number, { asker, lapse: this.#startLapse(number, asker) });
      this.#options.say(asker, { kind: "grant", number, wanted: 0 });
    }
  }

  get hasGranted(): boolean {
    return this.#grants.size > 0;
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
    for (const number of this.#grants.keys()) this.#close(number);
    for (const resolve of this.#onAsked.splice(0)) resolve();
  }

  #greet(): void {
    if (this.#greeted !== undefined || this.#isClosed) return;
    this.#greeted = performance.now();
    this.#options.sayToAll({ kind: "hello", number: 0, wanted: 0 });
  }

  /** Who gets the next grant. */
  #next(): string | undefined {
    if (this.#isClosed || this.#options.claims() <= this.#grants.size) return undefined;
    const granted = new Map<string, number>();
    for (const { asker } of this.#grants.values()) {
      granted.set(asker, (granted.get(asker) ?? 0) + 1);
    }
    for (const [asker, wanted] of this.#askers) {
      if ((granted.get(asker) ?? 0) < wanted) return asker;
    }
  }

  /** Who died, or is stopped, must hold up nobody; whoever is alive asks again. */
  #startLapse(number: number, asker: string): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      this.#grants.delete(number);
      this.#askers.delete(asker);
      this.grant();
    }, longestGrant);
    timer.unref();
    return timer;
  }

  #end(asker: string, upTo: number): void {
    for (const [number, grant] of this.#grants) {
      if (number <= upTo && grant.asker === asker) this.#close(number);
    }
  }

  #close(number: number): void {
    clearTimeout(this.#grants.get(number)?.lapse);
    this.#grants.delete(number);
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
