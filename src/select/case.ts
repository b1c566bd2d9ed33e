import type { OperationOptions } from "../handle/operation.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { shown } from "../shared/options.ts";

/**
 * A get that {@linkcode select} may choose, from a method `getCase` such as a channel's.
 *
 * @typeParam T what it gets
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
  /** Tells it from a {@linkcode PutCase}. */
  readonly operation: "get";
  /** Never there: it is how the compiler knows what a select gets. */
  readonly got?: T;
}

/**
 * A put that {@linkcode select} may choose, from {@linkcode Channel.putCase}.
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
  /** Tells it from a {@linkcode GetCase}. */
  readonly operation: "put";
}

/**
 * What a select may get from: a channel, and what `after` and `every` make.
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
  /** A case that gets from it. */
  getCase(): GetCase<T>;
}

/** What every case is behind its public face: it takes part in selects, in several at a time, too. */
export abstract class Case {
  abstract readonly operation: "get" | "put";
  /** @throws what the select is to reject with, such as a value that cannot be sent */
  abstract part(choice: Choice): Part;
}

/** A case in one select. */
export interface Part {
  /** Whether the case can happen, after it has said so. */
  readonly isReady: boolean;
  /** Wants to happen: tells whether it can, now or when it is known, and whenever that changes. */
  wait(): void;
  /** Has the case happen, which is chosen. */
  take(): void;
  /** Wants nothing any more, and gives back what it has. */
  leave(): void;
  /** The error for a timeout, where the case has something to say. */
  late(options: OperationOptions): Error | undefined;
  /** Gives up what the case has begun when it was chosen; `isOurs` as {@linkcode Operation.giveUp} has it. */
  giveUp?(reason: unknown, isOurs: boolean): void;
}

/** A select, as its parts see it. */
export interface Choice {
  /** What its caller called, for errors. */
  readonly action: string;
  /** Whether it waits until a case can happen. */
  readonly isWaiting: boolean;
  /** The case can happen: it is taken or left soon, or at once. */
  ready(part: Part): void;
  /** The case cannot happen now. */
  waiting(part: Part): void;
  /** The chosen case has happened. */
  done(part: Part, value: unknown): void;
  /** The chosen case could not happen after all: all parts are asked to wait again. */
  lost(part: Part): void;
  /** The case failed: that its channel is closed for everyone is how a case may happen, too. */
  fail(part: Part, error: unknown): void;
}

/** The case that a program has named, in whichever way. */
export function caseOf(action: string, key: string, named: unknown): Case {
  let found = named;
  if (
    !(found instanceof Case) && typeof (found as CaseSource | undefined)?.getCase === "function"
  ) {
    found = (found as CaseSource).getCase();
  }
  if (found instanceof Case) return found;
  throw new ChannelConfigError(
    `${action}: ${JSON.stringify(key.slice(0, 40))} is no case, but ${
      shown(named)
    }; a case is a channel, ` +
      "ch.getCase(), ch.putCase(value), after(ms) or every(ms)",
  );
}
