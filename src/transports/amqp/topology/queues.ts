import type { AMQPChannel } from "@cloudamqp/amqp-client";
import type { Difference } from "../connection/refusal.ts";
import { isMissing } from "../failure.ts";

/** Arguments of a queue (https://www.rabbitmq.com/docs/queues#optional-arguments). */
export type QueueArguments = Readonly<Record<string, string | number>>;

/**
 * A queue's type is always named: an operator may give a vhost, or the broker, another default, and a quorum queue drops
 * what was given back too often.
 */
export const classic: QueueArguments = { "x-queue-type": "classic" };

/**
 * The largest limit there is. Without one RabbitMQ 4 drops a message that was given back 20 times. "Never" (-1) is known to
 * version 4 only, which then puts what is given back at the end of the queue; with a limit it keeps its place.
 */
const quorum: QueueArguments = { "x-queue-type": "quorum", "x-delivery-limit": 2 ** 31 - 1 };

/** What decides how the queue of a channel is declared. */
export interface ChannelQueue {
  /** Milliseconds. */
  readonly lease?: number | undefined;
  readonly quorum?: boolean | undefined;
  /** How many messages wait at most. */
  readonly capacity?: number | undefined;
}

/**
 * The arguments of a channel's queue. RabbitMQ drops the oldest message of a queue that is full, be it by a policy of the operator;
 * the queue is told to refuse the next instead. A plain channel's is not, for ChannelPy declares it without arguments,
 * and RabbitMQ refuses whoever declares other ones.
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

/** Returns how many messages are ready in a queue, or undefined if the queue does not exist. */
export async function depth(session: Administrator, name: string): Promise<number | undefined> {
  try {
    const queue = await session.administer((channel) =>
      channel.queueDeclare(name, { passive: true, durable: true })
    );
    return queue.messageCount;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
