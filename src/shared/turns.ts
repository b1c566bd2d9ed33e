// Promises that resolve in microtasks keep the event loop from turning: timers, signals and sockets wait until no
// microtask is left. A loop over a channel whose values are already there would never let them run. Therefore
// operations that have been settled at once for some time are held until the event loop has turned.
//
// On workerd no operation is held: a turn belongs to one request and never comes if the request ends first. There the
// clock stands still while code runs, so a loop cannot be noticed either.
//
// Invariants: while `since` is set, the next turn of the event loop will call `turned`. While operations are held,
// every later one is held behind them, so that all are settled in order.

import { isRequestBound } from "./request_bound.ts";

/** Milliseconds after which operations wait for a turn. */
const longest = 8;

/** How many operations are settled without a look at the clock, which costs nearly as much as one. */
const fewest = 16;

/** If the clock has advanced by this many milliseconds between two looks, each operation looks at it. */
const slow = 1;

/**
 * The number of turns that operations wait for. While it is busy, Deno polls for I/O only once in 61 turns, as Tokio
 * does (https://docs.rs/tokio/latest/tokio/runtime/struct.Builder.html#method.event_interval).
 */
const turns = "Deno" in globalThis ? 8 : 1;

// The functions of this moment: a program's tests may replace them later.
const now = performance.now.bind(performance);
const { setImmediate, MessageChannel, setTimeout } = globalThis as Partial<Schedulers>;

/** The functions of runtimes that call a function in another turn. */
interface Schedulers {
  setImmediate(call: () => void): unknown;
  readonly MessageChannel: typeof globalThis.MessageChannel;
  setTimeout(call: () => void, ms: number): unknown;
}

/** The time of the first operation since the event loop has turned. */
let since: number | undefined;
/** Whether `longest` has passed, and the code that ran at that moment has been interrupted since. */
let isInterrupted = false;
/** The time of the last look at the clock. */
let lookedAt = 0;
/** The number of operations until the next look. */
let left = isRequestBound ? Infinity : 0;
/** The held operations: functions, each followed by its argument. */
let held: unknown[] | undefined;
/** The number of turns since operations are held. */
let waited = 0;
let isImmediateReal = false;

/** Calls `settle` with its argument: at once, or after a turn if the event loop has not turned for some time. */
export function inTurn<T>(settle: (outcome: T) => void, outcome: T): void {
  if (maySettle()) settle(outcome);
  else afterTurn(settle, outcome);
}

/** Reports whether an operation may be settled at once. If not, it must be settled by {@linkcode afterTurn}. */
export function maySettle(): boolean {
  if (held !== undefined) return false;
  return left-- > 0 || look();
}

/** Reports whether operations are held, so that a consumer that was served could not ask for more. */
export function isHolding(): boolean {
  return held !== undefined;
}

/** Calls `settle` with its argument when the event loop has turned, in the order of the calls. */
export function afterTurn<T>(settle: (outcome: T) => void, outcome: T): void {
  held!.push(settle, outcome);
}

/** Looks at the clock, and reports whether an operation may be settled at once. */
function look(): boolean {
  const time = now();
  left = time - lookedAt < slow ? fewest : 0;
  lookedAt = time;
  if (since === undefined) {
    since = time;
    requestTurn();
    return true;
  }
  if (time - since < longest) return true;
  if (isInterrupted) {
    held = [];
    if (!isImmediateReal) requestRealTurn();
    return false;
  }
  // Code that begins operations in a row without awaiting them cannot be interrupted, so they are not held.
  Promise.resolve().then(() => isInterrupted = since !== undefined);
  return true;
}

/** Called when the event loop has turned. A second call in a turn does no harm. */
function turned(): void {
  if (held !== undefined && ++waited < turns) return requestRealTurn();
  waited = 0;
  since = undefined;
  isInterrupted = false;
  const settlings = held ?? [];
  held = undefined;
  for (let i = 0; i < settlings.length; i += 2) {
    (settlings[i] as (outcome: unknown) => void)(settlings[i + 1]);
  }
}

/** The ways to request a call of `turned`, the best first. In Next's edge functions, the first two throw. */
const ways: [() => void, ...(() => void)[]] = [byImmediate, byMessage, byTimeout];

/** Requests a call of `turned` in another turn, after timers and I/O. The process stays alive until then. */
function requestTurn(): void {
  for (;;) {
    try {
      return ways[0]();
    } catch (error) {
      if (ways.length === 1) throw error;
      ways.shift();
    }
  }
}

function byImmediate(): void {
  setImmediate!(() => {
    isImmediateReal = true;
    turned();
  });
}

/** Requests a call of `turned` by a message, which tests do not replace. */
function byMessage(): void {
  const { port1, port2 } = new MessageChannel!();
  port1.onmessage = () => {
    port1.close();
    port2.close();
    turned();
  };
  port2.postMessage(undefined);
}

function byTimeout(): void {
  setTimeout!(turned, 0);
}

/**
 * Requests a call of `turned` for held operations. A module that is loaded under fake timers has no real setImmediate.
 */
function requestRealTurn(): void {
  if (isImmediateReal || ways[0] === byTimeout) return requestTurn();
  try {
    byMessage();
  } catch {
    requestTurn();
  }
}
