import { setTimeout as pause } from "node:timers/promises";
import { isAnonymous, isAnonymousUnbuffered } from "../../names.ts";
import { sharedPlace } from "./bulletin.ts";
import { isSealed, isSecret, isSign, removeClosed, signOf } from "./closing.ts";
import { accessRefused, isMissing, notFound, preconditionFailed, replyCode } from "./failure.ts";
import type { Session } from "./session.ts";
import { encodeWord, type Word, wordType } from "./words.ts";

/** How a queue is declared that does not exist yet. */
export interface QueueOptions {
  readonly create: boolean;
  /** Milliseconds. */
  readonly lease?: number;
  readonly quorum?: boolean;
  /** How many messages wait at most; 0: it is unbuffered. */
  readonly capacity?: number;
  /** Whether nobody else can have the channel. */
  readonly isNew?: boolean;
}

/** A channel as it was found. */
export interface Found {
  /** Whether it was closed by a drain. */
  readonly isClosed: boolean;
  /** Whether it has a capacity, as far as its declaration tells. */
  readonly isBounded: boolean;
  /** Whether it is unbuffered: the type of its exchange tells, or the name of an anonymous one. */
  readonly isUnbuffered: boolean;
}

/**
 * A channel is a durable queue on the default exchange, and a fanout exchange of the same name for
 * announcements; ChannelPy's is the same, so both can share it. (An anonymous one has no exchange of its
 * own.) The exchange of an unbuffered channel is a topic exchange, which is all that tells its users.
 * Declares what is missing and binds this connection's bulletin, in one round-trip.
 *
 * What exists with other arguments is used as it is, for a reference's receiver cannot know them: the
 * refusal (406) closes the AMQP channel, and the next try only asks whether it is there (passive).
 *
 * @returns undefined where there is no such channel
 */
export async function attach(
  session: Session,
  name: string,
  { create, lease, quorum, capacity, isNew }: QueueOptions,
): Promise<Found | undefined> {
  // Who does not create the queue creates no exchange either: without one, nothing is announced.
  const passive = { queue: !create, exchange: !create };
  let hasExchange = !isAnonymous(name);
  // Of a channel that vanishes by itself, the exchange goes with the last connection bound to it.
  const isVanishing = lease !== undefined;
  const wantsUnbuffered = capacity === 0;
  const exchange = { durable: !isVanishing || wantsUnbuffered, autoDelete: isVanishing };
  const exchangeType = wantsUnbuffered ? "topic" : "fanout";
  // That of an unbuffered one must not go before the queue, or nobody would know any more: the queue is bound to it.
  const isKept = isVanishing && wantsUnbuffered;
  const queueArguments = {
    ...lease === undefined ? {} : { "x-expires": lease },
    ...quorum ? quorumArguments(session.version) : {},
    ...capacity === undefined || wantsUnbuffered
      ? {}
      : { "x-max-length": capacity, "x-overflow": "reject-publish" },
  };
  let isBounded = create && capacity !== undefined && !wantsUnbuffered;
  let isUnbuffered = isAnonymous(name) ? isAnonymousUnbuffered(name) : wantsUnbuffered;
  let asks = isNew !== true;
  let refusal: unknown;
  for (let attempt = 1;; attempt++) {
    try {
      await session.administer((channel) =>
        Promise.all([
          channel.queueDeclare(name, { durable: true, passive: passive.queue }, queueArguments),
          ...!hasExchange ? [] : [
            channel.exchangeDeclare(name, exchangeType, { ...exchange, passive: passive.exchange }),
            channel.queueBind(session.bulletin.queue, name, ""),
            ...isKept && isUnbuffered ? [channel.queueBind(name, name, keeping)] : [],
          ],
          // Last: who closes the channel later announces it to who is bound.
          ...asks ? [channel.queueDelete(signOf(name), { ifEmpty: true })] : [],
        ])
      );
      return { isClosed: false, isBounded, isUnbuffered };
    } catch (error) {
      if (isSign(error)) {
        const isClosed = await isSealed(session, name);
        if (isClosed && isKept && !isAnonymous(name)) await unkeep(session, name);
        return { isClosed, isBounded, isUnbuffered };
      }
      if (isSecret(error) && asks) {
        asks = false;
        continue;
      }
      const code = replyCode(error);
      const part = partOf(error);
      if (code === accessRefused && part !== undefined && !passive[part]) {
        passive[part] = true; // who may not create it may use what is there
        refusal ??= error;
        continue;
      }
      if (attempt === mostAttempts || part === undefined) throw error;
      if (code === preconditionFailed) {
        passive[part] = true;
        if (part === "queue") isBounded = isOtherwiseBounded(error);
        else isUnbuffered = isOtherwiseUnbuffered(error) ?? wantsUnbuffered;
      } else if (code !== notFound) throw error;
      else if (refusal !== undefined && create) throw refusal;
      else if (part === "queue" && !create) return undefined;
      else if (part === "exchange" && !create) hasExchange = false;
      else {
        passive[part] = part === "queue" && !create;
        if (part === "exchange") isUnbuffered = wantsUnbuffered;
        await pause(attempt * 10 * Math.random()); // whoever deletes it has more to delete
      }
    }
  }
}

/**
 * Since version 4 RabbitMQ drops what was given back 20 times, unless told otherwise. Earlier ones have
 * no word for "never", and put what is given back at the end of a queue without a limit, but in its old
 * place where there is one.
 */
function quorumArguments(version: string | undefined): Record<string, string | number> {
  const limit = Number.parseInt(version ?? "") >= 4 ? -1 : 2 ** 31 - 1;
  return { "x-queue-type": "quorum", "x-delivery-limit": limit };
}

/** Whether the queue that is there has a length of its own. */
function isOtherwiseBounded(error: unknown): boolean {
  return /inequivalent arg 'x-max-length'.* current is (the value )?'\d/.test(String(error));
}

/** Whether the exchange that is there is that of an unbuffered channel; undefined where something else differs. */
function isOtherwiseUnbuffered(error: unknown): boolean | undefined {
  const type = /inequivalent arg 'type'.* current is (?:the value )?'(\w+)'/.exec(String(error))
    ?.[1];
  return type === undefined ? undefined : type === "topic";
}

/** The key by which an unbuffered channel's queue is bound to its exchange; nothing is announced under it. */
const keeping = "queue";

/** Has the exchange of an unbuffered channel go with whoever is bound to it, for the end of a drain is seen by that. */
export async function unkeep(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueUnbind(name, name, keeping));
}

/** What the broker's refusal is about. */
function partOf(error: unknown): "queue" | "exchange" | undefined {
  const part = /(?:inequivalent arg '[^']*' for|no|access to) (queue|exchange) /.exec(String(error))
    ?.[1];
  return part as "queue" | "exchange" | undefined;
}

/** Others may create and delete the channel meanwhile, but hardly at each attempt. */
const mostAttempts = 10;

/**
 * Whether waiting may help: the queue exists, and cannot be used now, as where the node that has it is
 * down, or its replicas have no leader.
 */
export function isTransient(error: unknown): boolean {
  return /down or inaccessible|not available|no leader|timeout|timed out|INTERNAL_ERROR/i.test(
    String(error),
  );
}

/** Undoes the binding of `attach`. */
export async function detach(session: Session, name: string): Promise<void> {
  if (isAnonymous(name)) return;
  await session.administer((channel) => channel.queueUnbind(session.bulletin.queue, name, ""));
}

/** What is known of a channel that is deleted. */
export interface RemovalOptions {
  /** Whether it was closed by a drain. */
  readonly isClosed: boolean;
  /** Whether something has been announced on it. */
  readonly hasAnnounced: boolean;
}

/**
 * Deletes a channel, whether it is there or not, announcing `event`. The queue goes first: who hears of
 * the end may begin anew at once, and put into it. That an anonymous one is gone is announced only where
 * something has been announced on it before: all connections would hear of each. Who waits for its
 * messages is told by the broker, and who does not finds out with the next operation.
 */
export async function remove(
  session: Session,
  name: string,
  event: Uint8Array,
  { isClosed, hasAnnounced }: RemovalOptions,
): Promise<void> {
  if (isClosed) {
    await removeClosed(session, name);
    // Who is through with it is not bound any more.
    if (hasAnnounced || !isAnonymous(name)) {
      await announce(session, name, [event], { isToAll: true });
    }
    return;
  }
  if (isAnonymous(name)) {
    await session.administer((channel) => channel.queueDelete(name));
    if (hasAnnounced) await announce(session, name, [event]);
    return;
  }
  const messageId = session.nextId();
  try {
    await session.administer(async (channel, lane) => {
      await lane.confirm();
      await Promise.all([
        channel.queueDelete(name),
        channel.basicPublish(name, "", event, { messageId }).catch(unlessNacked),
        channel.exchangeDelete(name),
      ]);
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
    // It is the exchange. The client may have sent the announcement first.
    await session.administer((channel) => channel.queueDelete(name));
  }
}

/** How many messages are ready in a queue; undefined if there is no such queue. */
export async function depth(session: Session, name: string): Promise<number | undefined> {
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

/** What the broker knows of a channel that somebody is attached to. */
export async function look(session: Session, name: string): Promise<"open" | "closed" | "gone"> {
  if (await depth(session, name) === undefined) return "gone";
  if (await depth(session, signOf(name)) === undefined) return "open";
  try {
    await session.administer((channel) =>
      channel.exchangeDeclare(signOf(name), "fanout", { passive: true })
    );
    return "closed"; // the sign is this channel's, as there is a seal, which goes with the queue
  } catch (error) {
    if (isMissing(error) || isSecret(error)) return "open";
    throw error;
  }
}

/** How something is announced. */
export interface AnnouncementOptions {
  /** Whether to every connection, and not only to those bound to the channel's exchange. */
  readonly isToAll?: boolean;
  readonly contentType?: string;
}

/**
 * Publishes announcements, in their order; one to an exchange that is missing closes the AMQP channel it
 * is made on.
 */
export async function announce(
  session: Session,
  name: string,
  events: readonly Uint8Array[],
  { isToAll = isAnonymous(name), contentType }: AnnouncementOptions = {},
): Promise<boolean> {
  const { exchange, routingKey } = placeOf(name, isToAll);
  const common = {
    ...isToAll ? { correlationId: name } : {},
    ...contentType === undefined ? {} : { contentType },
  };
  try {
    await session.administer(async (channel, lane) => {
      await lane.confirm();
      await Promise.all(events.map((event) => {
        const properties = { messageId: session.nextId(), ...common };
        return channel.basicPublish(exchange, routingKey, event, properties).catch(unlessNacked);
      }));
    });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Where a channel's users hear what is announced. */
function placeOf(name: string, isToAll: boolean): { exchange: string; routingKey: string } {
  return isToAll ? sharedPlace : { exchange: name, routingKey: "" };
}

/**
 * Says words to one who has the channel, by his bulletin, or to all. Resolves when they are there, in their order;
 * with false where the channel's exchange is missing.
 */
export async function tell(
  session: Session,
  name: string,
  words: readonly { readonly to?: string; readonly word: Word }[],
): Promise<boolean> {
  const toAll = placeOf(name, isAnonymous(name));
  const common = { contentType: wordType, correlationId: name, replyTo: session.bulletin.queue };
  try {
    await session.administer(async (channel, lane) => {
      await lane.confirm();
      await Promise.all(words.map(({ to, word }) => {
        const { exchange, routingKey } = to === undefined
          ? toAll
          : { exchange: "", routingKey: to };
        const properties = { messageId: session.nextId(), ...common };
        return channel.basicPublish(exchange, routingKey, encodeWord(word), properties)
          .catch(unlessNacked);
      }));
    });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * The broker confirms an announcement when it is in each bulletin, and refuses it (basic.nack) where one
 * has gone meanwhile, with its connection: whoever is still there has it.
 */
function unlessNacked(error: unknown): void {
  if (!(error instanceof Error) || error.message !== "Message rejected") throw error;
}
