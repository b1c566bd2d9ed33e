// Invariants: a dead letter that is put back is moved as moving.ts does it. What is listed is released. No promise settles
// before all loans have.

import { ChannelTimeoutError, type Delivery, type Message } from "../../mod.ts";
import type { RawChannel } from "../channel/raw_channel.ts";
import type { CommonOptions } from "./common_options.ts";
import type { Context } from "./context.ts";
import { moveAll } from "./moving.ts";
import { printable } from "./printable.ts";
import { Progress } from "./progress.ts";
import { jsonOf } from "./values.ts";

/** What is done with how many dead letters of which channel. */
export interface Work extends CommonOptions {
  readonly dead: RawChannel;
  readonly channel: RawChannel;
  readonly most: number;
}

/** Prints dead letters, the oldest first, and returns their number. */
export async function listAll(
  context: Context,
  dead: RawChannel,
  most: number,
  isJson: boolean,
): Promise<number> {
  const held: Delivery<Message>[] = [];
  try {
    while (held.length < most) {
      const delivery = await nextOf(dead, context);
      if (delivery === undefined) break;
      held.push(delivery);
      const { reason = "" } = delivery.value;
      const { value, trouble } = decoded(dead, delivery.value);
      if (isJson) {
        const line = trouble === undefined ? { reason, value } : { reason, undecodable: trouble };
        await context.output.line(printable(jsonOf(line, false)));
      } else {
        const shown = trouble === undefined
          ? printable(jsonOf(value, false))
          : context.output.style("red", `(${trouble})`);
        await context.output.line(`${context.output.style("dim", printable(reason))}\t${shown}`);
      }
    }
  } finally {
    for (const delivery of held) delivery.release(); // in their order
  }
  return held.length;
}

function decoded(dead: RawChannel, message: Message): { value?: unknown; trouble?: string } {
  try {
    return { value: dead.decode(message) };
  } catch (error) {
    return { trouble: printable((error as Error).message) };
  }
}

/** Returns the next message that is there, or undefined. */
async function nextOf(
  dead: RawChannel,
  { signal }: Context,
): Promise<Delivery<Message> | undefined> {
  try {
    return await dead.receive({ timeout: 0, signal });
  } catch (error) {
    if (error instanceof ChannelTimeoutError) return undefined;
    throw error;
  }
}

/** Deletes dead letters, and returns their number. */
export async function dropAll(context: Context, { dead, most }: Work): Promise<number> {
  let done = 0;
  for (; done < most; done++) {
    const delivery = await nextOf(dead, context);
    if (delivery === undefined) break;
    delivery.accept();
  }
  return done;
}

/**
 * Puts dead letters back into their channel, in their order, and returns their number. They are put as they are, without
 * the reason and the number of attempts.
 */
export async function retryAll(
  context: Context,
  { dead, channel, most, quiet }: Work,
): Promise<number> {
  const progress = new Progress(quiet === true);
  let done = 0;
  const moved = (count: number) => {
    done = count;
    progress.show(`dead-letters: ${count} of ${most} put back`);
  };
  try {
    return await moveAll(context, {
      ...{ from: dead, to: channel, most, follow: false, moved },
      encoding: undefined,
    });
  } catch (error) {
    if (done > 0) context.output.note(`dead-letters: ${done} were put back before`);
    throw error;
  } finally {
    progress.end();
  }
}
