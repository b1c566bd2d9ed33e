import type { AMQPChannel } from "@cloudamqp/amqp-client";
import type { Difference } from "../connection/refusal.ts";
import { isMissing } from "../failure.ts";

/** The arguments of a queue (https://www.rabbitmq.com/docs/queues#optional-arguments). */
export type QueueArguments = Readonly<Record<string, string | number>>;

/**
 * The type is always given, because an operator may give a vhost or the broker another default, and a quorum queue
 * drops messages that were returned too often.
 */
export const classic: QueueArguments = { "x-queue-type": "classic" };

/**
 * The delivery limit is the largest that there is. Without a limit RabbitMQ 4 drops a message that was returned 20
 * times. The value "never" (-1) is known to version 4 only, and puts a returned message at the end of the queue; with
 * any other limit it keeps its place.
 */
const quorum: QueueArguments = { "x-queue-type": "quorum", "x-delivery-limit": 2 ** 31 - 1 };

/** The options of a channel that decide how its queue is declared. */
export interface ChannelQueue {
  /** Milliseconds. */
  readonly lease?: number | undefined;
  readonly quorum?: boolean | undefined;
  /** The most messages that wait. */
  readonly capacity?: number | undefined;
}

/**
 * Returns the arguments of a channel's queue.
 *
 * RabbitMQ drops the oldest message of a full queue, which an operator's policy may have limited, unless the queue is
 * declared to refuse the next message. A plain channel's queue is not: ChannelPy declares it without arguments, and
 * RabbitMQ refuses a declaration with others.
 */
export function argumentsOf({ lease, quorum: isQuorum, capacity }: ChannelQueue): QueueArguments {
  const isPlain = lease === undefined && !isQuorum && capacity === undefined;
  return {
    ...isQuorum ? quorum : classic,
    ...lease === undefined ? {} : { "x-expires": lease },
    ...capacity === undefined ? {} : { "x-max-length": capacity },
    ...isPlain ? {} : { "x-overflow": "reject-publish" },
  };
}

/** Returns how an existing queue may drop messages, as far as a difference tells. */
export function hazardOf({ argument: name, current }: Difference): string | undefined {
  if (name === "x-message-ttl" && current !== "none") return `drops values after ${current} ms`;
  const isLimited = name === "x-delivery-limit" && Number(current) >= 0;
  if (isLimited) return `drops values that were released ${current} times`;
  const isForeign = name === "x-queue-type" && current === "quorum" || name === "x-delivery-limit";
  return isForeign ? "may drop values that were released 20 times" : undefined;
}

/** The part of a session that asks the broker about a queue. */
export interface Administrator {
  /** Runs `use` on an AMQP channel that has no other user. */
  administer<T>(use: (channel: AMQPChannel) => Promise<T>): Promise<T>;
}

/** What the broker tells of a queue. */
export interface QueueCounts {
  /** The messages that are ready. */
  readonly messageCount: number;
  readonly consumerCount: number;
}

/** Returns how many messages are ready in a queue, or undefined if the queue does not exist. */
export async function depth(session: Administrator, name: string): Promise<number | undefined> {
  return (await counts(session, name))?.messageCount;
}

/** Returns the counts of a queue, or undefined if it does not exist. */
export async function counts(
  session: Administrator,
  name: string,
): Promise<QueueCounts | undefined> {
  try {
    return await session.administer((channel) =>
      channel.queueDeclare(name, { passive: true, durable: true })
    );
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
