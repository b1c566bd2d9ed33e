import type { Attachment } from "../connection/attachment.ts";
import type { Pending } from "./operation.ts";

/** An operation that waits for the attachment. */
export interface AttachmentWaiter {
  readonly operation: Pending;
  /** Called with the attachment. */
  use(attachment: Attachment): void;
  /** Called with the reason why there is no attachment, or with `abandoned` if the operation has settled. */
  fail(error: unknown): void;
}

/**
 * How a handle attaches to its channel. It is in one of four states:
 *
 * - `new`: the handle is not attached, and no attempt is under way;
 * - `attaching`: an attempt is under way, and operations wait for it;
 * - `attached`: the handle has its attachment;
 * - `gone`: the channel was closed for all handles.
 *
 * An operation that needs the attachment starts an attempt (`new` → `attaching`). The attempt succeeds (→ `attached`) or
 * fails (→ `new`, and the waiting operations fail). When no waiting operation is left, the attempt is abandoned
 * (→ `new`), so that an unreachable broker is not retried for nobody; an abandoned attempt that succeeds
 * all the same attaches the handle. `end` leads from any state to `gone`.
 */
export class Attaching {
  readonly #attach: (signal: AbortSignal) => Promise<Attachment>;
  #state: State = { name: "new" };
  readonly #waiters = new Set<AttachmentWaiter>();
  /** Whether the handle was attached at any time, and so its channel has existed. */
  hasAttached = false;
  /** Whether an attempt was abandoned: it may have created the channel. */
  wasAbandoned = false;

  /** @param attach makes one attempt; its signal is aborted when the attempt is abandoned */
  constructor(attach: (signal: AbortSignal) => Promise<Attachment>) {
    this.#attach = attach;
  }

  /** The attachment; undefined unless the state is `attached`. */
  get attachment(): Attachment | undefined {
    return this.#state.name === "attached" ? this.#state.attachment : undefined;
  }

  /** Whether an attempt is under way. */
  get isAttaching(): boolean {
    return this.#state.name === "attaching";
  }

  /** Calls `use` of a waiter with the attachment: at once, or when the handle is attached. */
  wait(waiter: AttachmentWaiter): void {
    const { operation, use, fail } = waiter;
    if (this.#state.name === "attached") return use(this.#state.attachment);
    if (operation.settled) return fail(abandoned);
    this.#waiters.add(waiter);
    operation.whenSettled(() => {
      if (!this.#waiters.delete(waiter)) return;
      fail(abandoned);
      if (this.#waiters.size === 0) this.#abandon();
    });
    if (this.#state.name === "new") this.#begin();
  }

  /** Resolves with the attachment once no attempt is under way, also if it is not used any more; undefined without one. */
  async outcome(): Promise<Attachment | undefined> {
    if (this.#state.name === "new") return undefined;
    if (this.#state.name !== "attaching") return this.#state.attachment;
    return await this.#state.attempt.catch(() => undefined);
  }

  /** Sets the attachment that the attempt under way has made, and serves the waiting operations. */
  attached(attachment: Attachment): void {
    this.hasAttached = true;
    this.#state = { name: "attached", attachment };
    for (const { operation, use, fail } of this.#takeWaiters()) {
      if (operation.settled) continue;
      try {
        use(attachment);
      } catch (error) {
        fail(error);
      }
    }
  }

  /** The channel was closed for all handles: the attachment is not used any more. */
  end(): void {
    this.#state = { name: "gone", attachment: this.attachment };
  }

  #begin(): void {
    const abandon = new AbortController();
    const attempt = this.#attach(abandon.signal);
    const state: State = { name: "attaching", attempt, abandon };
    this.#state = state;
    attempt.catch((error) => {
      if (this.#state !== state) return; // abandoned, and another attempt may be under way
      this.#state = { name: "new" };
      for (const { fail } of this.#takeWaiters()) fail(error);
    });
  }

  #abandon(): void {
    if (this.#state.name !== "attaching") return;
    this.wasAbandoned = true;
    this.#state.abandon.abort(abandoned);
    this.#state = { name: "new" };
  }

  #takeWaiters(): AttachmentWaiter[] {
    const all = [...this.#waiters];
    this.#waiters.clear();
    return all;
  }
}

type State =
  | { readonly name: "new" }
  | { readonly name: "gone"; readonly attachment: Attachment | undefined }
  | {
    readonly name: "attaching";
    readonly attempt: Promise<Attachment>;
    readonly abandon: AbortController;
  }
  | { readonly name: "attached"; readonly attachment: Attachment };

/** One error for all: the stack of an error of its own would keep what its caller references. */
const abandoned = new Error("no operation waits for the attachment any more");
