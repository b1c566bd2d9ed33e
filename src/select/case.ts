import type { OperationOptions } from "../handle/operation.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { shown } from "../shared/options.ts";

/**
 * A case of {@linkcode select} that gets a value, from a method `getCase`, such as {@linkcode Channel.getCase}.
 *
 * @typeParam T the type of the value
 *
 * @example
 * ```ts
 * import { Channel, type GetCase, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const next: GetCase<string> = ch.getCase();
 * await ch.put("foo");
 * equal((await select({ next })).value, "foo");
 * ```
 */
export interface GetCase<T = unknown> {
  /** Distinguishes the case from a {@linkcode PutCase}. */
  readonly operation: "get";
  /** Never set; it carries the type of the value. */
  readonly got?: T;
}

/**
 * A case of {@linkcode select} that puts a value, from {@linkcode Channel.putCase}.
 *
 * @example
 * ```ts
 * import { Channel, select, type PutCase } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const out: PutCase = ch.putCase("foo");
 * equal((await select({ out })).key, "out");
 * equal(await ch.get(), "foo");
 * ```
 */
export interface PutCase {
  /** Distinguishes the case from a {@linkcode GetCase}. */
  readonly operation: "put";
}

/**
 * An object from which {@linkcode select} can get: a channel, or the result of {@linkcode after} or {@linkcode every}.
 *
 * @typeParam T the type of the values
 *
 * @example
 * ```ts
 * import { after, Channel, type CaseSource, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * async function firstOf<T>(a: CaseSource<T>, b: CaseSource<T>): Promise<T | undefined> {
 *   const { key, value } = await select([a, b, after(1000)]);
 *   return key === 2 ? undefined : value;
 * }
 *
 * await using fast = new Channel<string>();
 * await using slow = new Channel<string>();
 * await fast.put("foo");
 * equal(await firstOf(fast, slow), "foo");
 * ```
 */
export interface CaseSource<T = unknown> {
  /** Returns a case that gets from the object. */
  getCase(): GetCase<T>;
}

/** A case, as the program names it. It may take part in several selects, also at the same time. */
export abstract class SelectCase {
  abstract readonly operation: "get" | "put";
  /** Returns the case in one select. Absent for the cases of channels. */
  activate?(select: RunningSelect): ActiveCase;
}

/** A case in one running select. */
export interface ActiveCase {
  /** Whether the case is still ready, after it has reported so. */
  readonly isReady: boolean;
  /** Begins to report to the select whether the case is ready: at once or when it is known, and at each change. */
  watch(): void;
  /** Runs the case, which was chosen. */
  run(): void;
  /** Ends the reports, and releases a value that the case holds. */
  withdraw(): void;
  /** Returns the error for a timeout of the select; undefined for the usual one. */
  timeoutError(options: OperationOptions): Error | undefined;
  /** Gives up the operation of a case that was chosen; `isOurs` as for {@linkcode Operation.giveUp}. */
  giveUp?(reason: unknown, isOurs: boolean): void;
}

/** A running select, as its cases use it. */
export interface RunningSelect {
  /** The name of the called function, for errors. */
  readonly action: string;
  /** Whether the select waits until a case is ready. */
  readonly isWaiting: boolean;
  /** Reports that the case is ready: the select runs or withdraws it, at once or soon. */
  ready(active: ActiveCase): void;
  /** Reports that the case is not ready. */
  notReady(active: ActiveCase): void;
  /** Reports that the chosen case has run, and its value. */
  done(active: ActiveCase, value: unknown): void;
  /** Reports that the chosen case was not ready after all: the select watches all cases again. */
  retry(active: ActiveCase): void;
  /** Reports that the case failed. If its channel is closed for everyone, that is the result of the select. */
  fail(active: ActiveCase, error: unknown): void;
}

/** Returns the case that the program has named: by a case, or by an object with a method `getCase`. */
export function caseOf(action: string, key: string, named: unknown): SelectCase {
  let found = named;
  if (
    !(found instanceof SelectCase) &&
    typeof (found as CaseSource | undefined)?.getCase === "function"
  ) {
    found = (found as CaseSource).getCase();
  }
  if (found instanceof SelectCase) return found;
  throw new ChannelConfigError(
    `${action}: the case ${JSON.stringify(key.slice(0, 40))} must be a channel, ch.getCase(), ` +
      `ch.putCase(value), after(ms) or every(ms), not ${shown(named)}`,
  );
}
