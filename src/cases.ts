import { ChannelConfigError } from "./errors.ts";
import type { OperationOptions } from "./operation.ts";

/**
 * A receive that {@linkcode select} may choose, from a method `recv` such as a channel's.
 *
 * @typeParam T what is received
 *
 * @example
 * ```ts
 * import { Channel, type ReceiveCase, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const next: ReceiveCase<string> = ch.recv();
 * await ch.put("foo");
 * equal((await select({ next })).value, "foo");
 * ```
 */
export interface ReceiveCase<T = unknown> {
  /** Tells it from a send. */
  readonly direction: "receive";
  /** Never there: it is how the compiler knows what is received. */
  readonly received?: T;
}

/**
 * A send that {@linkcode select} may choose, from {@linkcode Channel.send}.
 *
 * @example
 * ```ts
 * import { Channel, select, type SendCase } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const out: SendCase = ch.send("foo");
 * equal((await select({ out })).key, "out");
 * equal(await ch.get(), "foo");
 * ```
 */
export interface SendCase {
  /** Tells it from a receive. */
  readonly direction: "send";
}

/**
 * What a select may receive from: a channel, and what `after` and `every` make.
 *
 * @example
 * ```ts
 * import { after, Channel, type Receiver, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * async function firstOf<T>(a: Receiver<T>, b: Receiver<T>): Promise<T | undefined> {
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
export interface Receiver<T = unknown> {
  /** A case that receives from it. */
  recv(): ReceiveCase<T>;
}

/** What every case is behind its public face: it takes part in selects, in several at a time, too. */
export abstract class Case {
  abstract readonly direction: "receive" | "send";
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
  /** Gives up what the case has begun when it was chosen. */
  giveUp?(reason: unknown): void;
}

/** A select, as its parts see it. */
export interface Choice {
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
export function caseOf(key: string, named: unknown): Case {
  let found = named;
  if (!(found instanceof Case) && typeof (found as Receiver | undefined)?.recv === "function") {
    found = (found as Receiver).recv();
  }
  if (found instanceof Case) return found;
  throw new ChannelConfigError(
    `select: ${key} is no case: it takes ch.recv(), ch.send(value), and what has a method recv`,
  );
}
