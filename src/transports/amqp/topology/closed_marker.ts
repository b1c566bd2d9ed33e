import { setTimeout as pause } from "node:timers/promises";
import { backOff } from "../../../shared/backoff.ts";
import type { Session } from "../connection/session.ts";
import { isDeclaredOtherwise, isMissing, mayPass, unlessNacked } from "../failure.ts";
import { directExchange, reservedName } from "./bindings.ts";
import { classic, depth } from "./queues.ts";

/**
 * The closed marker of a channel: a queue with one message, which a `closeAll({ drain: true })` leaves at the broker.
 * It is the first step of the protocol that docs/internals/amqp.md describes ("Closing").
 *
 * An attachment asks for the marker by deleting it if it is empty. That does nothing where there is no marker, and is
 * refused where there is one.
 *
 * @module
 */

/** The content type of the announcement of a drain. Programs that do not know it read a plain `closeAll`. */
export const drainType = "application/vnd.channelts.drain";

/** Returns the name of a channel's closed marker. */
export function markerOf(name: string): string {
  return reservedName(name, "closed");
}

/**
 * Makes the closed marker of a channel. Returns false if the channel does not exist.
 *
 * @param expires milliseconds after which the broker deletes the marker, unless a process attaches; absent: never
 */
export async function placeMarker(
  session: Session,
  name: string,
  expires: number | undefined,
): Promise<boolean> {
  if (await depth(session, name) === undefined) return false;
  let isPassive = false;
  for (let attempt = 1;; attempt++) {
    try {
      if (await declareMarker(session, name, expires, isPassive)) break;
      if (attempt === mostAttempts) throw new Error("the closed marker was removed repeatedly");
    } catch (error) {
      isPassive = isDeclaredOtherwise(error); // another process has made the marker, with another expiry
      // Another connection may be removing it, as an empty one or as that of an earlier channel.
      const isTemporary = isPassive || isMissing(error) || mayPass(error);
      if (attempt === mostAttempts || !isTemporary) throw error;
    }
    await pause(backOff(attempt, 5, 500));
  }
  // If the channel was deleted meanwhile, its marker would close the next channel of this name.
  if (await depth(session, name) !== undefined) return true;
  await removeMarker(session, name);
  return false;
}

/**
 * Declares the marker and puts its message into it. Returns false if the marker was removed before the message came.
 */
async function declareMarker(
  session: Session,
  name: string,
  expires: number | undefined,
  passive: boolean,
): Promise<boolean> {
  const marker = markerOf(name);
  let hasMessage = true;
  await session.administer(async (channel, pooled) => {
    await pooled.confirm();
    channel.onReturn = () => hasMessage = false;
    await channel.queueDeclare(marker, { durable: true, passive }, {
      ...expires === undefined ? {} : { "x-expires": expires },
      "x-max-length": 1,
      ...classic, // RabbitMQ cannot delete a quorum queue on the condition that it is empty
    });
    await channel.basicPublish("", marker, "", { deliveryMode: 2 }, true).catch((error) => {
      unlessNacked(error);
      hasMessage = false;
    });
    channel.onReturn = () => {};
    // A broker that is killed may have forgotten the last thing that it was told to make. That is this binding then,
    // to which nothing is published.
    await channel.queueBind(marker, directExchange, marker);
  });
  return hasMessage;
}

/**
 * Returns the expiry of the closed marker of a channel that expires: twice the channel's lease, a week at least. A
 * deletion of the channel deletes the marker before.
 */
export function markerExpiry(lease = 0): number {
  return Math.min(Math.max(2 * lease, 7 * 24 * 3600 * 1000), 2 ** 31 - 1);
}

/** Removes the closed marker of a channel that does not exist any more. */
export async function removeMarker(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueDelete(markerOf(name)));
}

/** Deletes a closed channel and its marker. @param hasExchange whether the channel has an exchange of its own */
export async function removeClosed(
  session: Session,
  name: string,
  hasExchange: boolean,
): Promise<void> {
  await session.administer((channel) =>
    Promise.all([
      channel.queueDelete(name),
      channel.queueDelete(markerOf(name)),
      ...hasExchange ? [channel.exchangeDelete(name)] : [],
    ])
  );
}

const mostAttempts = 10;
