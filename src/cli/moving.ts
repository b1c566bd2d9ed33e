// Invariants: a message is taken out of its channel only when what became of it is put; otherwise it is released. The
// promise of `moveAll` settles when all loans have.

import { type Channel, ChannelTimeoutError, type Delivery, type Message } from "../../mod.ts";
import type { RawChannel } from "../channel/raw_channel.ts";
import type { Context } from "./context.ts";

/** Messages that are received ahead of the puts, in their order. */
const receivesAhead = 16;

/** The number of puts that are in progress at a time. */
const concurrency = 64;

/** Milliseconds that the puts in progress have after a failure, or Ctrl-C. */
const grace = 5000;

/** What is moved where. */
export interface Moving {
  readonly from: RawChannel;
  readonly to: RawChannel;
  /** The handle for values that carry channels, if the channels are on different connections. */
  readonly encoding: Channel | undefined;
  readonly most: number;
  /** Whether messages are waited for; otherwise the moving ends when there is none. */
  readonly follow: boolean;
  /** Called after each move, with the number of moves. */
  moved(count: number): void;
}

/**
 * Receives messages in their order: several are asked for at a time, so that a round trip does not pass for each.
 *
 * @param timeout 0 to end when there is no message; absent to wait for more
 */
export async function* received(
  from: RawChannel,
  most: number,
  options: { readonly signal: AbortSignal; readonly timeout?: number },
): AsyncGenerator<Delivery<Message>, void> {
  const stop = new AbortController();
  const onAbort = () => stop.abort(options.signal.reason);
  options.signal.addEventListener("abort", onAbort);
  if (options.signal.aborted) onAbort();
  const asked: Promise<Delivery<Message> | undefined>[] = [];
  let begun = 0;
  try {
    for (;;) {
      for (; asked.length < receivesAhead && begun < most; begun++) {
        const next = from.receive({ ...options, signal: stop.signal }).catch((error) => {
          if (options.timeout !== undefined && error instanceof ChannelTimeoutError) {
            return undefined;
          }
          throw error;
        });
        next.catch(() => {}); // awaited below, unless an earlier one has failed
        asked.push(next);
      }
      const next = asked.shift();
      if (next === undefined) return;
      const delivery = await next;
      if (delivery === undefined) begun = most; // no more are asked for; those that were may still come
      else yield delivery;
    }
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    stop.abort();
    for (const next of asked) next.then((delivery) => delivery?.release(), () => {});
    await Promise.allSettled(asked);
  }
}

/** Moves messages as they are, and returns their number. */
export async function moveAll(context: Context, moving: Moving): Promise<number> {
  const { from, to, encoding, most, follow } = moving;
  const moves = new Set<Promise<void>>();
  const receiving = new AbortController();
  const putting = new AbortController();
  let done = 0;
  let failure: { readonly error: unknown } | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    receiving.abort(error);
    timer ??= setTimeout(() => putting.abort(error), grace);
  };
  const waiting = { ...context.waiting, signal: putting.signal };
  const put = async ({ value: message }: Delivery<Message>) => {
    const carrying = encoding && from.carrying(message);
    if (carrying !== undefined) return await encoding!.put(carrying.value, waiting);
    const { attempts: _, reason: _reason, ...plain } = message;
    await to.put(plain, waiting);
  };
  const move = async (delivery: Delivery<Message>) => {
    try {
      await put(delivery);
      from.moved(delivery);
      moving.moved(++done);
    } catch (error) {
      delivery.release();
      fail(error);
    }
  };
  const onAbort = () => fail(context.signal.reason);
  context.signal.addEventListener("abort", onAbort);
  try {
    const options = { signal: receiving.signal, ...follow ? {} : { timeout: 0 } };
    for await (const delivery of received(from, most, options)) {
      if (failure !== undefined) {
        delivery.release();
        break;
      }
      const begun: Promise<void> = move(delivery).finally(() => moves.delete(begun));
      moves.add(begun);
      while (moves.size >= concurrency) await Promise.race(moves);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(moves);
  clearTimeout(timer);
  context.signal.removeEventListener("abort", onAbort);
  if (failure !== undefined) throw failure.error;
  return done;
}
