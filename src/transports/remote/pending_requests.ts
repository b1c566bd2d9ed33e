import { backOff } from "../../shared/backoff.ts";
import type { ChannelError } from "../../shared/errors.ts";
import { Deadlines } from "./deadlines.ts";
import type { ProcessRef } from "./process_ref.ts";
import type { RemoteSession } from "./remote_session.ts";
import { RepeatedLosses } from "./repeated_losses.ts";
import { RuntimeTimer } from "./runtime_timer.ts";

/** The link whose requests these are. `Attached` is its attachment on one connection. */
export interface RequestOwner<Attached> {
  /** Returns the live attachment, or undefined while the link has none. */
  attached(): Attached | undefined;
  /** Attaches the link. */
  start(): void;
  /** Reports whether the link is closed. */
  isEnded(): boolean;
  /** Whether `perform` refuses a request by itself during which many connections were lost. */
  readonly refusesRepeated?: boolean;
  /** Performs a request as a part of an operation. */
  perform<T>(action: string, attached: Attached, request: () => Promise<T>): Promise<T>;
  /** Returns the meaning of a failure; `isLost` tells whether the connection was lost meanwhile. */
  meaning(error: unknown, isLost: boolean): FailureMeaning;
  /** Records that the channel is gone, and returns the error that says so. */
  gone(action: string): ChannelError;
  /** Returns the error for a refusal of the broker. */
  explain(action: string, error: unknown): ChannelError;
  /** Returns the error for a request that has waited for `retryTimeout`. */
  outage(action: string): ChannelError;
  /** Returns the error for a request of a closed link. */
  ended(action: string): ChannelError;
}

/**
 * What the failure of a request means: the connection is lost, and the request runs again on the next; the channel is
 * gone; the request may succeed later; or it is refused.
 */
export type FailureMeaning = "lost" | "gone" | "later" | "refused";

/** A request that waits until the link is attached. */
interface Request<Attached> {
  readonly action: string;
  run(attached: Attached): void;
  reject(error: ChannelError): void;
}

/**
 * The requests of a link that have one answer: all but puts and gets. A request whose connection is lost
 * runs again on the next, unless that was so for `retryTimeout` and many connections.
 */
export class PendingRequests<Attached extends { readonly session: RemoteSession }> {
  readonly #retryTimeout: number;
  readonly #processRef: ProcessRef;
  readonly #owner: RequestOwner<Attached>;
  readonly #waiting: Deadlines<Request<Attached>>;

  constructor(retryTimeout: number, processRef: ProcessRef, owner: RequestOwner<Attached>) {
    this.#retryTimeout = retryTimeout;
    this.#processRef = processRef;
    this.#owner = owner;
    this.#waiting = new Deadlines(
      retryTimeout,
      processRef,
      ({ action, reject }) => reject(owner.outage(action)),
    );
  }

  /** How many requests wait until the link is attached. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Runs a request. If the broker cannot serve it now, the request is repeated for `retryTimeout`, with growing pauses.
   *
   * @param isRepeated false: the request rejects if the broker cannot serve it now
   */
  run<T>(
    action: string,
    request: (attached: Attached) => Promise<T>,
    isRepeated = true,
  ): Promise<T> {
    const owner = this.#owner;
    let since: number | undefined;
    let attempts = 0;
    let losses: RepeatedLosses | undefined;
    const mayRepeat = () =>
      isRepeated && performance.now() - (since ??= performance.now()) < this.#retryTimeout;
    return new Promise<T>((resolve, reject) => {
      const start = () => {
        if (owner.isEnded()) return reject(owner.ended(action));
        const attached = owner.attached();
        if (attached !== undefined) return run(attached);
        this.#waiting.add({ action, run, reject });
        owner.start();
      };
      const run = (attached: Attached) => {
        const { session } = attached;
        const answer = owner.perform(action, attached, () => request(attached));
        this.#processRef.refWhile(answer).then(resolve, (error) => {
          const meaning = owner.meaning(error, session.isLost);
          if (meaning === "lost") {
            losses ??= new RepeatedLosses();
            const isOver = owner.refusesRepeated !== true && losses.add(this.#retryTimeout);
            if (isOver && !owner.isEnded()) reject(owner.outage(action));
            else start();
          } else if (meaning === "gone") reject(owner.gone(action));
          else if (meaning === "later" && mayRepeat()) {
            this.#after(backOff(attempts++, 50, 1000), start);
          } else reject(owner.explain(action, error));
        });
      };
      start();
    });
  }

  /** Runs the requests that have waited, on a new attachment. */
  runAll(attached: Attached): void {
    for (const request of this.#waiting.takeAll()) request.run(attached);
  }

  /** Rejects the requests whose time is over before the next attempt to attach, in `pause` ms. */
  expire(pause: number): void {
    this.#waiting.expire(pause);
  }

  rejectAll(make: (action: string) => ChannelError): void {
    for (const { action, reject } of this.#waiting.takeAll()) reject(make(action));
  }

  /** Calls `callback` after a pause in which the process is held alive. */
  #after(pause: number, callback: () => void): void {
    this.#processRef.ref();
    new RuntimeTimer(() => {
      this.#processRef.unref();
      callback();
    }, pause);
  }
}
