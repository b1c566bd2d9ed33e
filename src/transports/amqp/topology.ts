import { setTimeout as pause } from "node:timers/promises";
import { isAnonymous } from "../../names.ts";
import { notFound, preconditionFailed, replyCode } from "./failure.ts";
import type { Session } from "./session.ts";

/** How a queue is declared that does not exist yet. */
export interface QueueOptions {
  readonly create: boolean;
  /** Milliseconds. */
  readonly lease?: number;
}

/**
 * A channel is a durable queue on the default exchange, and a fanout exchange of the same name for
 * announcements; ChannelPy's is the same, so both can share it. Declares what is missing and binds
 * this connection's bulletin, in one round-trip.
 *
 * What exists with other arguments is used as it is, for a reference's receiver cannot know them: the
 * refusal (406) closes the AMQP channel, and the next try only asks whether it is there (passive).
 *
 * @returns whether the channel exists now
 */
export async function attach(
  session: Session,
  name: string,
  { create, lease }: QueueOptions,
): Promise<boolean> {
  const passive = { queue: !create, exchange: false };
  // Of a channel that vanishes by itself, the exchange goes with the last connection bound to it.
  const vanishes = lease !== undefined || isAnonymous(name);
  const exchange = { durable: !vanishes, autoDelete: vanishes };
  const queueArguments = lease === undefined ? {} : { "x-expires": lease };
  for (let attempt = 1;; attempt++) {
    try {
      await session.administer((channel) =>
        Promise.all([
          channel.queueDeclare(name, { durable: true, passive: passive.queue }, queueArguments),
          channel.exchangeDeclare(name, "fanout", { ...exchange, passive: passive.exchange }),
          channel.queueBind(session.bulletin.queue, name, ""),
        ])
      );
      return true;
    } catch (error) {
      const code = replyCode(error);
      const part = partOf(error);
      if (attempt === mostAttempts || part === undefined) throw error;
      if (code === preconditionFailed) passive[part] = true;
      else if (code !== notFound) throw error;
      else if (part === "queue" && !create) return false;
      else {
        passive[part] = part === "queue" && !create;
        await pause(attempt * 10 * Math.random()); // whoever deletes it has more to delete
      }
    }
  }
}

/** What the broker's refusal is about. */
function partOf(error: unknown): "queue" | "exchange" | undefined {
  const part = /(?:inequivalent arg '[^']*' for|no) (queue|exchange) /.exec(String(error))?.[1];
  return part as "queue" | "exchange" | undefined;
}

/** Others may create and delete the channel meanwhile, but hardly at each attempt. */
const mostAttempts = 10;

/** Undoes the binding of `attach`. */
export async function detach(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueUnbind(session.bulletin.queue, name, ""));
}

/** Deletes a queue, whether it is there or not. */
export async function deleteQueue(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueDelete(name));
}

/** Deletes an exchange, whether it is there or not. */
export async function deleteExchange(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.exchangeDelete(name));
}

/** How many messages are ready in a queue; undefined if there is no such queue. */
export async function depth(session: Session, name: string): Promise<number | undefined> {
  try {
    const queue = await session.administer((channel) =>
      channel.queueDeclare(name, { passive: true, durable: true })
    );
    return queue.messageCount;
  } catch (error) {
    if (replyCode(error) === notFound) return undefined;
    throw error;
  }
}

/** Publishes an announcement; one to an exchange that is missing closes the AMQP channel it is made on. */
export async function announce(
  session: Session,
  name: string,
  event: Uint8Array,
  messageId: string,
): Promise<boolean> {
  try {
    await session.administer(async (channel, lane) => {
      await lane.confirm();
      await channel.basicPublish(name, "", event, { messageId });
    });
    return true;
  } catch (error) {
    if (replyCode(error) === notFound) return false;
    throw error;
  }
}
