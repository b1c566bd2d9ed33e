import { Fifo } from "../../../shared/fifo.ts";
import type { Claim } from "../../transport.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";

/**
 * The claims that wait for a message, in their order.
 *
 * Invariant: while claims wait, the process is held alive.
 */
export class WaitingClaims {
  readonly #claims = new Fifo<Claim>();
  readonly #processRef: ProcessRef;
  #isHolding = false;

  constructor(processRef: ProcessRef) {
    this.#processRef = processRef;
  }

  get size(): number {
    return this.#claims.size;
  }

  /** Whether the next claim counts attempts. */
  get isNextCounted(): boolean {
    return this.#claims.peek()?.counted === true;
  }

  push(claim: Claim): void {
    this.#claims.push(claim);
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#processRef.ref();
  }

  /** Removes and returns the next claim. After it was served, {@linkcode unrefIfEmpty} is called. */
  shift(): Claim | undefined {
    return this.#claims.shift();
  }

  remove(claim: Claim): boolean {
    const wasWaiting = this.#claims.remove(claim);
    if (wasWaiting) this.unrefIfEmpty();
    return wasWaiting;
  }

  removeAll(): Claim[] {
    const claims = this.#claims.takeAll();
    this.unrefIfEmpty();
    return claims;
  }

  /** Lets the process exit if no claim waits. */
  unrefIfEmpty(): void {
    if (this.#claims.size > 0 || !this.#isHolding) return;
    this.#isHolding = false;
    this.#processRef.unref();
  }

  /** Notifies every claim that the queue has no message for it. */
  notifyEmpty(): void {
    for (const claim of this.#claims.all) claim.waits?.();
  }
}
