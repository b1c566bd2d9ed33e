// Promises that resolve in microtasks keep the event loop from turning: timers, signals and sockets wait until no
// microtask is left. A loop over a channel whose values are here already never ends otherwise.
//
// Invariants: while `since` is set, `turned` is about to be called by the event loop's next turn. Whatever is to be
// settled while others are held is held behind them, so that all are settled in their order.

/** Milliseconds after which operations wait for a turn. */
const longest = 8;

/** How many operations may come before the next look at the clock, which costs a good part of one. */
const fewest = 16;

/** Milliseconds between two looks from which on each operation is worth one. */
const slow = 1;

/**
 * How many turns operations wait for. Deno looks for I/O once in 61 while there is anything else to do, as Tokio does
 * (https://docs.rs/tokio/latest/tokio/runtime/struct.Builder.html#method.event_interval).
 */
const turns = "Deno" in globalThis ? 8 : 1;

// Kept as they are here: a program's tests may put others in their place later.
const now = performance.now.bind(performance);
const { setImmediate, MessageChannel, setTimeout } = globalThis as Partial<Schedulers>;

/** What runtimes have to call a function in another turn. */
interface Schedulers {
  setImmediate(call: () => void): unknown;
  readonly MessageChannel: typeof globalThis.MessageChannel;
  setTimeout(call: () => void, ms: number): unknown;
}

/** When an operation was first looked at since the event loop has turned. */
let since: number | undefined;
/** Whether `longest` has passed, and whatever was begun before that has been interrupted since. */
let isAwaited = false;
let looked = 0;
let left = 0;
/** Functions, and what each is to be called with. */
let held: unknown[] | undefined;
/** How many turns were waited for with what is held. */
let waited = 0;
let isImmediateReal = false;

/** Calls `settle` with its argument: now, or where the event loop has not turned for a while, when it has. */
export function inTurn<T>(settle: (outcome: T) => void, outcome: T): void {
  if (mayGoOn()) settle(outcome);
  else afterTurn(settle, outcome);
}

/** Whether an operation may be settled at once; otherwise it is to be settled by {@linkcode afterTurn}. */
export function mayGoOn(): boolean {
  if (held !== undefined) return false;
  return left-- > 0 || look();
}

/** Whether operations wait for a turn: who was served has not been able to ask for more since. */
export function isHolding(): boolean {
  return held !== undefined;
}

/** Calls `settle` with its argument when the event loop has turned, in the order of the calls. */
export function afterTurn<T>(settle: (outcome: T) => void, outcome: T): void {
  held!.push(settle, outcome);
}

function look(): boolean {
  const time = now();
  left = time - looked < slow ? fewest : 0;
  looked = time;
  if (since === undefined) {
    since = time;
    awaitTurn();
    return true;
  }
  if (time - since < longest) return true;
  if (isAwaited) {
    held = [];
    if (!isImmediateReal) awaitTurnSurely();
    return false;
  }
  // What one piece of code begins in a row goes on: it cannot be interrupted, and would be held for nothing.
  Promise.resolve().then(() => isAwaited = since !== undefined);
  return true;
}

/** The event loop has turned: to be told so twice does no harm. */
function turned(): void {
  if (held !== undefined && ++waited < turns) return awaitTurnSurely();
  waited = 0;
  since = undefined;
  isAwaited = false;
  const settlings = held ?? [];
  held = undefined;
  for (let i = 0; i < settlings.length; i += 2) {
    (settlings[i] as (outcome: unknown) => void)(settlings[i + 1]);
  }
}

/** Has `turned` called in another turn, after timers and I/O had theirs; the process is alive till then. */
function awaitTurn(): void {
  if (setImmediate === undefined) {
    return MessageChannel ? awaitMessage() : void setTimeout!(turned, 0);
  }
  setImmediate(() => {
    isImmediateReal = true;
    turned();
  });
}

/** The same by a message, which no test puts anything in the place of. */
function awaitMessage(): void {
  const { port1, port2 } = new MessageChannel!();
  port1.onmessage = () => {
    port1.close();
    port2.close();
    turned();
  };
  port2.postMessage(undefined);
}

/** The same where operations depend on it: a module that was loaded under a test's timers has none of its own. */
function awaitTurnSurely(): void {
  if (isImmediateReal || MessageChannel === undefined) awaitTurn();
  else awaitMessage();
}
