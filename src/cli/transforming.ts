// Invariants: the values of a batch are taken out of their channel only when the program has ended with code 0 and all
// that it has written is put. Otherwise all of them are released, and nothing that the program has written is put.

import type { Channel, Delivery, Message } from "../../mod.ts";
import type { RawChannel } from "../channel/raw_channel.ts";
import { runChild } from "./child.ts";
import { CliError } from "./cli_error.ts";
import type { Context } from "./context.ts";
import { valuesOfOutput } from "./input.ts";
import { received } from "./moving.ts";
import { inputOf, type NotationOptions } from "./values.ts";

/** What passes through which program. */
export interface Transforming {
  readonly from: RawChannel;
  readonly to: Channel;
  readonly most: number;
  readonly follow: boolean;
  /** The most values for a run of the program. */
  readonly batch: number;
  readonly program: readonly [string, ...string[]];
  readonly notation: NotationOptions;
  /** Called after each batch, with the number of values so far. */
  moved(count: number): void;
}

/** Passes values through a program, and returns how many were taken. */
export async function transformAll(context: Context, work: Transforming): Promise<number> {
  const { from, most, follow } = work;
  let done = 0;
  while (done < most) {
    const size = Math.min(work.batch, most - done);
    const batch: Delivery<Message>[] = [];
    try {
      if (follow) batch.push(await from.receive({ signal: context.signal }));
      const rest = received(from, size - batch.length, { signal: context.signal, timeout: 0 });
      for await (const delivery of rest) batch.push(delivery);
      if (batch.length === 0) break;
      await pass(context, work, batch);
    } catch (error) {
      for (const delivery of batch) delivery.release();
      throw error;
    }
    for (const delivery of batch) delivery.accept();
    work.moved(done += batch.length);
  }
  return done;
}

async function pass(
  { waiting: { timeout } }: Context,
  { from, to, program, notation: options }: Transforming,
  batch: readonly Delivery<Message>[],
): Promise<void> {
  const inputs = batch.map(({ value }) => inputOf(from.decode(value), options));
  const input = new Uint8Array(await new Blob(inputs as BlobPart[]).arrayBuffer());
  const running = runChild(program, input, new AbortController().signal);
  const { output, failure } = await running.catch((cause) => {
    throw new CliError(`pipe: ${cause.message}; the values are back in the channel`, { cause });
  });
  if (failure !== undefined) {
    throw new CliError(`pipe: ${program[0]} ${failure}; its values are back in the channel`);
  }
  const values = valuesOfOutput(output, options, `pipe: the output of ${program[0]}`);
  const puts = values.map((value) => to.put(value, timeout === undefined ? {} : { timeout }));
  for (const outcome of await Promise.allSettled(puts)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
