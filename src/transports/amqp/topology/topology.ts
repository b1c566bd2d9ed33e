import { setTimeout as pause } from "node:timers/promises";
import { ChannelConfigError } from "../../../shared/errors.ts";
import { isAnonymous } from "../../../shared/names.ts";
import { backOff } from "../../../shared/backoff.ts";
import { leave, markerOf, markerRefusal, removeClosed, unmark } from "./closed_marker.ts";
import { isMissing, replyCode, unlessNacked } from "../failure.ts";
import { type Binding, commonBinding, type Lifetime, usersBinding } from "./bindings.ts";
import { argumentsOf, depth, type Difference, differenceOf, hazardOf } from "./queues.ts";
import { accessRefused, notFound, preconditionFailed } from "../connection/refusal.ts";
import type { Session } from "../connection/session.ts";

/** How a queue is declared that does not exist yet. */
export interface QueueOptions {
  readonly create: boolean;
  /** Milliseconds. */
  readonly lease?: number;
  readonly quorum?: boolean;
  /** How many messages wait at most. */
  readonly capacity?: number;
  /** Whether nobody else can have the channel. */
  readonly isNew?: boolean;
}

/** A channel as it was found. */
export interface Found {
  /** Whether it was closed by a drain; then this connection is not bound. */
  readonly isClosed: boolean;
  /** Whether it has a capacity, as far as its declaration tells. */
  readonly isBounded: boolean;
  readonly lifetime: Lifetime;
  /** How its queue may drop messages, as far as its declaration tells. */
  readonly hazard: string | undefined;
}

/**
 * A channel is a durable queue on the default exchange. A channel that is durable itself has a fanout exchange of
 * the same name for announcements, as ChannelPy's has, so that both can share it; one that expires is the queue and
 * nothing else. Declares what is missing and binds this connection's announcement queue, in one round trip.
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
  if (earlierUnbuffered.test(name)) throw unbufferedError(name);
  // Who does not create the queue creates no exchange either.
  const passive = { queue: !create, exchange: !create };
  let lifetime: Lifetime = isAnonymous(name)
    ? "anonymous"
    : lease === undefined
    ? "durable"
    : "expiring";
  let queueArguments = argumentsOf({ lease, quorum, capacity });
  let hazard: string | undefined;
  let isBounded = create && capacity !== undefined;
  let asksForMarker = isNew !== true;
  let checksType = true;
  let refusal: unknown;
  for (let attempt = 1;; attempt++) {
    try {
      await session.administer((channel) => {
        const unlessMarked = () =>
          asksForMarker ? [channel.queueDelete(markerOf(name), { ifEmpty: true })] : [];
        const declareExchange = (isPassive: boolean) =>
          channel.exchangeDeclare(name, "fanout", { durable: true, passive: isPassive });
        const users = usersBinding(name, lifetime);
        return Promise.all([
          // First: where there is a marker, no queue is created.
          ...passive.queue ? [] : unlessMarked(),
          channel.queueDeclare(name, { durable: true, passive: passive.queue }, queueArguments),
          ...lifetime === "durable" && passive.exchange ? [declareExchange(true)] : [],
          // A passive declaration does not compare the type.
          ...lifetime === "durable" && checksType ? [declareExchange(false)] : [],
          ...lifetime === "anonymous"
            ? []
            : [channel.queueBind(session.announcements.queue, users.exchange, users.routingKey)],
          // Last: who closes the channel later announces it to who is bound.
          ...unlessMarked(),
        ]);
      });
      return { isClosed: false, isBounded, lifetime, hazard };
    } catch (error) {
      const marker = markerRefusal(error);
      if (marker === "unreachable" && attempt < mostAttempts) {
        await pause(backOff(attempt, 5, 500));
        continue;
      }
      if (marker === "marked" || marker === "unreachable") {
        if (await depth(session, name) !== undefined) {
          if (lifetime === "durable" && !await hasExchange(session, name)) lifetime = "expiring";
          if (lifetime !== "anonymous") await leave(session, usersBinding(name, lifetime));
          return { isClosed: true, isBounded, lifetime, hazard };
        }
        // It is the marker of a channel that is gone.
        await unmark(session, name);
        if (!create) return undefined;
        if (attempt === mostAttempts) throw error;
        continue;
      }
      if (marker === "forbidden" && asksForMarker) {
        asksForMarker = false;
        continue;
      }
      const code = replyCode(error);
      const part = partOf(error);
      if (code === accessRefused && part === "exchange" && passive.exchange && checksType) {
        checksType = false;
        continue;
      }
      if (code === accessRefused && part !== undefined && !passive[part]) {
        passive[part] = true; // who may not create it may use what is there
        checksType &&= part !== "exchange";
        refusal ??= error;
        continue;
      }
      if (attempt === mostAttempts || part === undefined) throw error;
      const difference = differenceOf(error);
      if (code === preconditionFailed && difference !== undefined) {
        const { argument, current } = difference;
        // Quorum queues of earlier versions lack it; what else differs is told then.
        if (quorum && "x-overflow" in queueArguments && argument === "x-overflow") {
          const { "x-overflow": _, ...others } = queueArguments;
          queueArguments = others;
          continue;
        }
        // A stream cannot be asked for a message.
        if (part === "queue" && argument === "x-queue-type" && current === "stream") throw error;
        passive[part] = true;
        if (part === "queue") {
          hazard = hazardOf(difference);
          isBounded = argument === "x-max-length" && current !== undefined && current !== "none";
          if (lifetime !== "anonymous" && argument === "x-expires") {
            lifetime = lifetimeOtherwise(difference, lease !== undefined) ??
              (await hasExchange(session, name) ? "durable" : "expiring");
          }
        } else if (argument === "type" && current === "topic") { // an earlier version made it, for capacity 0
          throw unbufferedError(name);
        } else {
          checksType = false;
        }
      } else if (code !== notFound) throw error;
      else if (refusal !== undefined && create) throw refusal;
      else if (part === "queue" && !create) return undefined;
      else if (part === "exchange" && !create) lifetime = "expiring";
      else {
        passive[part] = false;
        checksType ||= part === "exchange";
        await pause(backOff(attempt, 5, 500)); // whoever deletes it has more to delete
      }
    }
  }
}

/**
 * How long the channel that is there is kept, where it is refused for `x-expires`; undefined where the words do not
 * tell. RabbitMQ compares this argument before all others, so a refusal for another one tells that it is as it was
 * asked for.
 */
function lifetimeOtherwise({ current }: Difference, hasLease: boolean): Lifetime | undefined {
  if (!hasLease) return "expiring";
  return current === undefined ? undefined : current === "none" ? "durable" : "expiring";
}

/** Names that earlier versions gave to channels of capacity 0 without a name. */
const earlierUnbuffered = /^[0-9a-f]{12}80008000[0-9a-f]{12}$/;

function unbufferedError(name: string): ChannelConfigError {
  return new ChannelConfigError(
    `channel ${name} has capacity 0, which an earlier version of this library made on RabbitMQ: it cannot be used ` +
      "any more; delete its queue and its exchange, or use another name",
  );
}

/** Whether a channel has an exchange of its own. */
async function hasExchange(session: Session, name: string): Promise<boolean> {
  try {
    await session.administer((channel) =>
      channel.exchangeDeclare(name, "fanout", { passive: true })
    );
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** What the broker's refusal is about. */
function partOf(error: unknown): "queue" | "exchange" | undefined {
  const part = /(?:inequivalent arg '[^']*' for|no|access to) (queue|exchange) /.exec(String(error))
    ?.[1];
  return part as "queue" | "exchange" | undefined;
}

/** Others may create and delete the channel meanwhile, but hardly at each attempt. */
const mostAttempts = 10;

/** Undoes the binding of `attach`. */
export async function detach(session: Session, name: string, lifetime: Lifetime): Promise<void> {
  if (lifetime !== "anonymous") await leave(session, usersBinding(name, lifetime));
}

/** What is known of a channel that is deleted, or on which something is announced. */
export interface Known {
  readonly lifetime: Lifetime;
  /** Whether it was closed by a drain. */
  readonly isClosed: boolean;
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
  { lifetime, isClosed, hasAnnounced }: Known & { readonly hasAnnounced: boolean },
): Promise<void> {
  const isHeard = hasAnnounced || lifetime !== "anonymous";
  if (isClosed) {
    await removeClosed(session, name, lifetime === "durable");
    if (isHeard) await announce(session, name, [event], { lifetime, isClosed });
    return;
  }
  if (lifetime !== "durable") {
    await session.administer((channel) => channel.queueDelete(name));
    if (isHeard) await announce(session, name, [event], { lifetime, isClosed });
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

/** What the broker knows of a channel that somebody is attached to. */
export async function look(session: Session, name: string): Promise<"open" | "closed" | "gone"> {
  if (await depth(session, name) === undefined) return "gone";
  return await depth(session, markerOf(name)) === undefined ? "open" : "closed";
}

/**
 * Publishes announcements, in their order. False where nobody can hear them, because the channel's exchange is missing;
 * that closes the AMQP channel.
 */
export async function announce(
  session: Session,
  name: string,
  events: readonly Uint8Array[],
  known: Known,
  contentType?: string,
): Promise<boolean> {
  const { exchange, routingKey } = placeOf(name, known);
  const common = {
    correlationId: name,
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

/** Where a channel's users hear what is announced: who is through with a closed channel is not bound any more. */
function placeOf(name: string, { lifetime, isClosed }: Known): Binding {
  return isClosed || lifetime === "anonymous" ? commonBinding : usersBinding(name, lifetime);
}
