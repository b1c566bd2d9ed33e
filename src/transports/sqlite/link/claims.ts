import { Fifo } from "../../../shared/fifo.ts";
import type { Claim, Loan } from "../../transport.ts";

/** Someone who takes a message that is there, and does not wait. */
export interface Ask {
  readonly counted: boolean;
  /** Whether something was put here since, which is not for it. */
  isEarly: boolean;
  resolve(loan: Loan | undefined): void;
  reject(error: unknown): void;
}

/** Who wants messages of a link: claims in their order, then those who only ask. */
export class Claimants {
  readonly #claims = new Fifo<Claim>();
  readonly #asks = new Set<Ask>();
  #counting = 0;

  /** How many wait for a message. */
  get waiting(): number {
    return this.#claims.size;
  }

  /** How many wait for a message who are not of this group. */
  waitingBut(group: object | undefined): number {
    if (group === undefined) return this.#claims.size;
    return this.#claims.all.filter((claim) => claim.group !== group).length;
  }

  get asking(): number {
    return this.#asks.size;
  }

  get size(): number {
    return this.#claims.size + this.#asks.size;
  }

  /** Whether some want their attempts counted. */
  get isCounting(): boolean {
    return this.#counting > 0;
  }

  claim(claim: Claim): void {
    this.#claims.push(claim);
    this.#count(claim, 1);
  }

  /** Tells the claims that nothing is there. */
  tell(): void {
    for (const claim of this.#claims.all) claim.waits?.();
  }

  /** Whether the claim was here, and is no longer. */
  withdraw(claim: Claim): boolean {
    if (!this.#claims.remove(claim)) return false;
    this.#count(claim, -1);
    return true;
  }

  ask(counted: boolean): Promise<Loan | undefined> {
    return new Promise((resolve, reject) => {
      const ask = { counted, isEarly: false, resolve, reject };
      this.#asks.add(ask);
      this.#count(ask, 1);
    });
  }

  /** Something was put: it is not for those who have asked. */
  setEarly(): void {
    for (const ask of this.#asks) ask.isEarly = true;
  }

  get early(): Ask[] {
    return [...this.#asks].filter(({ isEarly }) => isEarly);
  }

  /** Whose turn it is; he is here no longer. */
  next(): { readonly counted: boolean; deliver(loan: Loan): void } | undefined {
    const claim = this.#claims.shift();
    if (claim !== undefined) {
      this.#count(claim, -1);
      return claim;
    }
    for (const ask of this.#asks) {
      this.#forget(ask);
      return { counted: ask.counted, deliver: (loan) => ask.resolve(loan) };
    }
  }

  /** Says that nothing is there. */
  refuse(asks: Iterable<Ask> = this.#asks): void {
    for (const ask of asks) {
      this.#forget(ask);
      ask.resolve(undefined);
    }
  }

  reject(error: Error): void {
    for (let claim = this.#claims.shift(); claim !== undefined; claim = this.#claims.shift()) {
      this.#count(claim, -1);
      claim.reject(error);
    }
    for (const ask of this.#asks) {
      this.#forget(ask);
      ask.reject(error);
    }
  }

  /** Rejects all, each with an error of its own. */
  end(make: () => Error): void {
    for (let claimant = this.#claims.shift(); claimant; claimant = this.#claims.shift()) {
      this.#count(claimant, -1);
      claimant.reject(make());
    }
    for (const ask of this.#asks) {
      this.#forget(ask);
      ask.reject(make());
    }
  }

  #forget(ask: Ask): void {
    this.#asks.delete(ask);
    this.#count(ask, -1);
  }

  #count({ counted }: { readonly counted: boolean }, by: 1 | -1): void {
    if (counted) this.#counting += by;
  }
}
