// Invariants: a received value is accepted only after the other channel has taken it, and is released if its put fails.
// The promise of a pipe settles after all of its puts have.

import { Delivery } from "../handle/delivery.ts";
import { handleOf } from "../handle/handle.ts";
import { type Receiver, receiverRule, type Sender, senderRule } from "../handle/sender_receiver.ts";
import { current } from "../shared/instrumentation.ts";
import { Counter } from "../shared/counter.ts";
import { ChannelClosedError, ChannelConfigError } from "../shared/errors.ts";
import {
  abortSignal,
  checkArgument,
  integer,
  none,
  type Rules,
  Signature,
} from "../shared/options.ts";
import { closeTimeout } from "../shared/timeouts.ts";

/** The options of {@linkcode pipe}. */
export interface PipeOptions {
  /** The number of puts that are in progress at a time, 1 or more; default 16. */
  readonly concurrency?: number;
  /** Ends the pipe, which rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

const pipeSignature: Signature = /* @__PURE__ */ new Signature(
  "pipe",
  3,
  { concurrency: integer(1), signal: abortSignal } satisfies Rules<PipeOptions>,
  "pipe(from, to, { signal })",
);

/**
 * Moves values from one channel to another, on any transports, and loses none: a value is accepted when the other
 * channel has taken it, and released if its put fails. Values are put in the order in which they are received. The pipe
 * closes neither channel.
 *
 * The promise resolves when `from` is closed or deleted and the puts in progress are done. If a put fails, `to` is
 * closed, or the signal is aborted, the pipe receives no more and rejects; the puts in progress have 1,000 ms to finish
 * and are then given up.
 *
 * Values are delivered at least once: if the pipe ends early, or `from` is closed without `drain`, a value whose put
 * was in progress may be in both channels, and a released value may come after later ones. If `to` refuses a value each
 * time, `maxAttempts` of `from` makes it a dead letter.
 *
 * @param from the channel whose values are received: a Channel or a ReceiveChannel
 * @param to the channel into which they are put: a Channel or a SendChannel
 * @throws {ChannelConfigError} for an invalid argument or option, and if both are one channel
 * @throws {ChannelClosedError} if `to` is closed or deleted
 * @throws {ChannelDecodeError} for a message that cannot be decoded, as {@linkcode Channel.receive}
 * @throws any other error of {@linkcode Channel.receive} or {@linkcode Channel.put}
 *
 * @example
 * ```ts
 * import { Channel, pipe } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using from = new Channel<string>({ connection: "memory:" });
 * await using to = new Channel<string>(); // on any other transport
 * const piping = pipe(from, to);
 *
 * await from.put("a line");
 * equal(await to.get(), "a line");
 * await from.closeAll({ drain: true }); // ends the pipe when all values are moved
 * await piping;
 * ```
 */
export async function pipe<T>(
  from: Receiver<T>,
  to: Sender<T>,
  options: PipeOptions = none,
): Promise<void> {
  pipeSignature.check(options, arguments.length);
  checkArgument("pipe", "from", receiverRule, from);
  checkArgument("pipe", "to", senderRule, to);
  const { concurrency = 16, signal } = options;
  const [source, target] = [handleOf(from)!, handleOf(to)!];
  if (source.name === target.name && source.connection === target.connection) {
    throw new ChannelConfigError(`pipe: from and to are the same channel: ${target.title}`);
  }
  /** Aborted, with the error of the pipe, when the pipe ends early. */
  const receiving = new AbortController();
  /** Aborted when the puts that are still in progress are given up. */
  const putting = new AbortController();
  const puts = new Counter();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const fail = (error: unknown) => {
    if (receiving.signal.aborted) return;
    receiving.abort(error);
    timer = setTimeout(() => putting.abort(error), closeTimeout);
  };
  const move = async (delivery: Delivery<T>) => {
    puts.add();
    const put = () => to.put(delivery.value, { signal: putting.signal });
    try {
      await (current ? current.pass(Delivery.loanOf(delivery), put) : put());
      delivery.accept();
    } catch (error) {
      delivery.release();
      fail(error);
    }
    puts.done();
  };
  const onAbort = () => fail(signal!.reason);
  const onClosed = () => fail(target.closure("pipe"));
  if (signal?.aborted) onAbort();
  else if (target.closed) onClosed();
  signal?.addEventListener("abort", onAbort);
  target.onClosed.add(onClosed);
  try {
    while (!receiving.signal.aborted) {
      void move(await from.receive({ signal: receiving.signal }));
      await puts.below(concurrency);
    }
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) fail(error);
  }
  await puts.below(1);
  clearTimeout(timer);
  signal?.removeEventListener("abort", onAbort);
  target.onClosed.delete(onClosed);
  receiving.signal.throwIfAborted();
}
