import { OncePerTurn } from "../../../shared/once_per_turn.ts";
import type { Buffer } from "node:buffer";
import { drainedError } from "../../../shared/closed_errors.ts";
import { Fifo } from "../../../shared/fifo.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { ReadAheadBuffer } from "../../remote/read_ahead_buffer.ts";
import { ReadAheadSize } from "../../read_ahead_size.ts";
import type { Claim, Loan } from "../../transport.ts";
import { RedisLoan, type RedisLoanOwner } from "./loan.ts";
import type { ScriptName } from "../scripts/mod.ts";

/** The attachment whose messages are got. */
export interface RedisGetterOwner extends RedisLoanOwner {
  readonly name: string;
  readonly processRef: ProcessRef;
  /** Runs a script, after what was put and settled before. */
  // deno-lint-ignore no-explicit-any -- each script has its own reply
  run(script: ScriptName, args: readonly string[]): Promise<any>;
  /** Returns a message that nobody has had to its place. */
  giveBack(loan: RedisLoan): void;
  /** A claimant gets a loan. */
  lent(loan: RedisLoan): void;
  /** Reports whether a message that has come is one that a claimant here holds or has accepted, and then keeps it from others. */
  keepsBack(loan: RedisLoan): boolean;
  /** The server has refused a claim. Returns the error for it; undefined if the connection is lost. */
  refusal(error: unknown): Error | undefined;
  /** Returns the number of the operation that a claim belongs to, as text. */
  groupOf(group: object | undefined): string;
  /** Returns a number for a claim that no other claim of the link has, on any connection. */
  nextClaim(): number;
  /** Something is due in a number of milliseconds, or never: -1. */
  noteDue(ms: number): void;
  /** Claims wait, or do so no more. */
  waitingChanged(): void;
  /** A message comes to a claim as soon as the process that has it dies. */
  isNext(): void;
  /** The claims that waited here were sent or served. */
  claimsSent(): void;
}

/** A claim that this process has sent, or will send in this turn. */
interface Taking {
  readonly claim: Claim;
  readonly number: string;
  /** The claim as loans name it: its number after `+` if its attempts are counted, or `-`. */
  readonly mark: string;
  /** Whether the answer to the script that sent it was passed on. */
  isAnswered: boolean;
  /** The message that a notification has brought before that: what the answer brings to earlier claims comes first. */
  early?: RedisLoan;
}

/**
 * The claims of a link on one connection, and the messages that it has read ahead.
 *
 * A loop of gets takes as many messages with its claim as it gets within a few milliseconds. If a claimant releases a message, all
 * that were read ahead go back with it, because they are younger.
 *
 * Invariants: while a script takes messages ahead, later claims wait for them here. While messages are there, no claim waits. Each
 * claim keeps the process alive.
 */
export class RedisGetter {
  readonly #owner: RedisGetterOwner;
  /** The claims that the server has, or will have after this turn. */
  readonly #takings = new Map<Claim, Taking>();
  readonly #byNumber = new Map<string, Taking>();
  readonly #unsent = new Set<Taking>();
  readonly #here: Fifo<Claim> = new Fifo();
  readonly #ahead: ReadAheadBuffer<RedisLoan>;
  readonly #size = new ReadAheadSize(mostAhead, mostBytes);
  readonly #flushing = new OncePerTurn(() => this.flush());
  /** Whether a script takes messages ahead. */
  #isAsking = false;
  /** Whether the messages that it takes ahead go back. */
  #isReturning = false;
  /** For how many milliseconds, since a script last took messages, answers were under way. */
  #waited = 0;
  /** Whether the last claim found a message. */
  #hasFound = false;
  /** The claims whose withdrawal was not sent, and those whose withdrawal is not confirmed. */
  #withdrawn: Taking[] = [];
  readonly #leaving = new Map<string, Taking>();
  #isOver = false;
  #onEnded: (() => void)[] = [];

  constructor(owner: RedisGetterOwner) {
    this.#owner = owner;
    this.#ahead = new ReadAheadBuffer((loan) => owner.giveBack(loan));
  }

  /** Whether claims wait at the server. */
  get isWaiting(): boolean {
    return this.#byNumber.size > 0;
  }

  /** Whether claims wait here. */
  get hasClaimsHere(): boolean {
    return this.#here.size > 0;
  }

  /** Whether claims of this turn, or their withdrawals, have not been sent. */
  get isPending(): boolean {
    return this.#unsent.size + this.#withdrawn.length > 0;
  }

  take(claim: Claim): void {
    if (claim.counted) this.giveBack();
    const loan = this.#here.size > 0 ? undefined : this.#ahead.shift();
    if (loan !== undefined) return this.#lend(claim, loan);
    this.#owner.processRef.ref();
    if (this.#isAsking) {
      this.#here.push(claim);
      return;
    }
    this.#add(claim);
  }

  #add(claim: Claim): void {
    const taking = this.#takingOf(claim);
    this.#takings.set(claim, taking);
    this.#byNumber.set(taking.number, taking);
    this.#unsent.add(taking);
    this.#flushing.schedule();
  }

  #takingOf(claim: Claim): Taking {
    const number = String(this.#owner.nextClaim());
    return { claim, number, mark: `${claim.counted ? "+" : "-"}${number}`, isAnswered: false };
  }

  #leave(taking: Taking): void {
    this.#withdrawn.push(taking);
    this.#leaving.set(taking.mark, taking);
  }

  /** The claims that the server may have among those that wait, as it notes them. */
  get entries(): Iterable<string> {
    const sent = [...this.#byNumber.values()].filter((taking) => !this.#unsent.has(taking));
    return [...sent, ...this.#leaving.values()].map((taking) => this.#textOf(taking));
  }

  #textOf(taking: Taking): string {
    const [number, mark, group] = this.#entryOf(taking);
    return `${number} ${mark}${group}`;
  }

  /** Sends the claims of this turn. */
  flush(): void {
    while (this.#withdrawn.length > 0) {
      const leaving = this.#withdrawn.splice(0, mostClaims);
      this.#owner.run("untake", leaving.map((taking) => this.#textOf(taking))).then(
        () => leaving.forEach(({ mark }) => this.#leaving.delete(mark)),
        () => {}, // the end of the session forgets them
      );
    }
    while (this.#unsent.size > 0) {
      const batch = this.#nextBatch();
      const isCounting = batch.some(({ claim }) => claim.counted);
      const ahead = isCounting || !this.#hasFound || this.#unsent.size > 0
        ? 0
        : this.#size.next(this.#waited);
      this.#waited = 0;
      const sentAt = performance.now();
      if (ahead > 0) this.#isAsking = true;
      const claims = batch.flatMap((taking) => this.#entryOf(taking));
      this.#owner.run("take", [String(ahead), "0", ...claims]).then(
        (reply) => {
          this.#waited += performance.now() - sentAt;
          this.#taken(batch, reply, ahead > 0);
        },
        (error) => this.#failed(batch, error),
      );
    }
    this.#owner.waitingChanged();
  }

  /** Returns the claims of the next script. */
  #nextBatch(): Taking[] {
    const batch: Taking[] = [];
    for (const taking of this.#unsent) {
      if (batch.length === mostClaims) break;
      this.#unsent.delete(taking);
      taking.isAnswered = false;
      batch.push(taking);
    }
    return batch;
  }

  #entryOf({ number, claim: { counted, group } }: Taking): [string, string, string] {
    return [number, counted ? "+" : "-", this.#owner.groupOf(group)];
  }

  // deno-lint-ignore no-explicit-any -- each script has its own reply
  #taken(batch: readonly Taking[], [over, waits, due, ...found]: any[], isAhead: boolean): void {
    if (this.#isOver) return;
    const loans: RedisLoan[] = [];
    for (let i = 0; i < found.length; i += 3) {
      const mark = batch[i / 3]?.mark ?? "-";
      loans.push(this.#loanOf(found[i], mark, found[i + 1], found[i + 2]));
    }
    if (loans.length > 0 || over === 0) this.#hasFound = loans.length >= batch.length;
    const served = loans.slice(0, batch.length);
    for (const loan of loans.slice(batch.length)) {
      if (this.#isReturning) this.#owner.giveBack(loan);
      else this.#ahead.push(loan);
    }
    const again: Taking[] = [];
    batch.forEach((taking, i) => {
      const { claim } = taking;
      const loan = served[i] ?? taking.early;
      taking.isAnswered = true;
      const isPending = this.#takings.get(claim) === taking;
      if (loan !== undefined) {
        if (!isPending) return this.#giveBackCrossed(loan, taking.mark);
        this.#end(taking);
        this.#lend(claim, loan);
      } else if (!isPending) {
        // It was withdrawn, or has been served.
      } else if (over === 1) {
        this.#end(taking);
        claim.reject(drainedError(this.#owner.name));
      } else if (waits === 3) again.push(taking);
      else if (waits > 0) claim.waits?.();
    });
    if (again.length > 0) {
      const later = [...this.#unsent];
      this.#unsent.clear();
      for (const taking of [...again, ...later]) this.#unsent.add(taking);
      this.#flushing.schedule();
    }
    if (waits > 0) this.#owner.noteDue(due);
    if (isAhead) this.#endAsking();
    this.#owner.waitingChanged();
    if (waits === 2) this.#owner.isNext();
  }

  /** Serves the claims that waited here; sends those for which there is no message. */
  #endAsking(): void {
    this.#isReturning = false;
    while (this.#here.size > 0 && this.#ahead.size > 0) {
      if (this.#here.peek()!.counted) {
        this.giveBack();
        break;
      }
      const claim = this.#here.shift()!;
      this.#owner.processRef.unref();
      this.#lend(claim, this.#ahead.shift()!);
    }
    this.#isAsking = false;
    for (const claim of this.#here.takeAll()) this.#add(claim);
    for (const resolve of this.#onEnded.splice(0)) resolve();
    this.flush();
    this.#owner.claimsSent();
  }

  #failed(batch: readonly Taking[], error: unknown): void {
    if (this.#isOver) return;
    const reason = this.#owner.refusal(error);
    if (reason === undefined || this.#isOver) return;
    for (const taking of batch) {
      if (this.#takings.get(taking.claim) !== taking) continue;
      this.#end(taking);
      taking.claim.reject(this.#owner.refusal(error)!);
    }
    if (this.#isAsking) this.#endAsking();
    this.#owner.waitingChanged();
  }

  /** A message that was put or released was lent to a claim. */
  notifiedOfLoan([, seq = "", mark = "", tried = ""]: readonly string[], bytes: Buffer): void {
    if (!/^\d{16}$/.test(seq) || !/^(?:-|\d{1,15})$/.test(tried)) return; // another program has published it
    const taking = this.#byNumber.get(mark.slice(1));
    const loan = this.#loanOf(seq, mark, tried, bytes);
    if (taking?.mark !== mark) {
      return this.#giveBackCrossed(loan, mark);
    }
    const isTrying = !this.#takings.has(taking.claim);
    this.#hasFound = false;
    if (!isTrying && !taking.isAnswered) {
      taking.early = loan;
      return;
    }
    this.#end(taking);
    if (isTrying) taking.claim.deliver(loan);
    else this.#lend(taking.claim, loan);
    this.#owner.waitingChanged();
  }

  /**
   * Gives back a message for a claim that has ended. If the claim was withdrawn, the withdrawal does that. Otherwise another program
   * has told the claim of a message.
   */
  #giveBackCrossed(loan: RedisLoan, mark: string): void {
    if (!this.#leaving.has(mark)) this.#owner.giveBack(loan);
  }

  /** The channel is closed, and nothing is left. */
  over(): void {
    for (const taking of [...this.#byNumber.values()]) {
      if (this.#unsent.has(taking)) continue;
      this.#end(taking);
      taking.claim.reject(drainedError(this.#owner.name));
    }
    this.#owner.waitingChanged();
  }

  #loanOf(seq: Buffer | string, mark: string, tried: Buffer | string, bytes: Buffer): RedisLoan {
    return new RedisLoan(String(seq), mark, String(tried), bytes, this.#owner);
  }

  #lend(claim: Claim, loan: RedisLoan): void {
    if (this.#owner.keepsBack(loan)) return this.take(claim);
    loan.lend(claim.counted);
    this.#size.count(loan.message.body.length);
    this.#owner.lent(loan);
    claim.deliver(loan);
  }

  withdraw(claim: Claim): boolean {
    if (this.#here.remove(claim)) {
      this.#owner.processRef.unref();
      this.#owner.claimsSent();
      return true;
    }
    const taking = this.#takings.get(claim);
    if (taking === undefined) return false;
    this.#end(taking);
    if (!this.#unsent.delete(taking)) {
      this.#leave(taking);
      this.#flushing.schedule();
      // A message that has crossed it goes back, and is older than those that come.
      if (this.#isAsking) this.giveBack();
    }
    this.#owner.waitingChanged();
    return true;
  }

  /** Gives back what was read ahead, and what comes. */
  giveBack(): void {
    this.#ahead.giveBack();
    this.#hasFound = false;
    if (this.#isAsking) this.#isReturning = true;
  }

  async tryTake(isCounted: boolean): Promise<Loan | undefined> {
    for (;;) {
      const loan = await this.#look(isCounted);
      if (loan === undefined) return undefined;
      if (this.#owner.keepsBack(loan)) continue;
      loan.lend(isCounted);
      this.#owner.lent(loan);
      return loan;
    }
  }

  async #look(isCounted: boolean): Promise<RedisLoan | undefined> {
    while (this.#isAsking) await new Promise<void>((resolve) => this.#onEnded.push(resolve));
    if (isCounted) this.giveBack();
    const ahead = this.#ahead.shift();
    if (ahead !== undefined) return ahead;
    this.flush();
    let meet: ((loan: RedisLoan | undefined) => void) | undefined;
    let early: RedisLoan | undefined;
    const claim: Claim = {
      counted: isCounted,
      deliver: (loan) => meet === undefined ? early = loan as RedisLoan : meet(loan as RedisLoan),
      reject: () => meet?.(undefined),
    };
    const taking = this.#takingOf(claim);
    const { number } = taking;
    this.#byNumber.set(number, taking); // a message may be lent to it by a notification
    this.#owner.processRef.ref();
    try {
      const [over, waits, , seq, tried, bytes] = await this.#owner.run("take", [
        "0",
        "1",
        ...this.#entryOf(taking),
      ]);
      if (seq !== undefined) {
        const loan = this.#loanOf(seq, taking.mark, tried, bytes);
        if (early === undefined) return loan;
        this.#owner.giveBack(loan);
      }
      if (early !== undefined) return early;
      if (over === 1) throw drainedError(this.#owner.name);
      if (waits === 0) return undefined;
      if (waits === 3) return this.#look(isCounted); // what was there has expired; more may be there
      const timer = setTimeout(() => meet?.(undefined), meetTime);
      const met = await new Promise<RedisLoan | undefined>((resolve) => meet = resolve);
      clearTimeout(timer);
      if (met === undefined) this.#leave(taking);
      return met;
    } catch (error) {
      if (early !== undefined) this.#owner.giveBack(early);
      throw error;
    } finally {
      if (this.#byNumber.get(number) === taking) this.#end(taking);
      this.#flushing.schedule();
    }
  }

  /** Ends a claim; the process is kept alive for it no more. */
  #end(taking: Taking): void {
    if (!this.#byNumber.delete(taking.number)) return;
    this.#takings.delete(taking.claim);
    this.#owner.processRef.unref();
  }

  /** Ends all, and returns the claims that were not served, in their order. */
  takeAll(): Claim[] {
    this.#isOver = true;
    const claims = [...this.#takings.keys()];
    for (const taking of [...this.#byNumber.values()]) this.#end(taking);
    for (const claim of this.#here.takeAll()) {
      claims.push(claim);
      this.#owner.processRef.unref();
    }
    this.#ahead.end();
    this.#unsent.clear();
    this.#withdrawn = [];
    this.#isAsking = false;
    for (const resolve of this.#onEnded.splice(0)) resolve();
    return claims;
  }
}

/** The most messages that are taken ahead at once. */
const mostAhead = 200;

/** The most bytes, as far as the messages before tell. */
const mostBytes = 1 << 20;

/** How many claims one script has. */
const mostClaims = 200;

/** Milliseconds for which a look at a channel of capacity 0 waits for a process that waits for room. */
const meetTime = 50;
