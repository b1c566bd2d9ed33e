import { setTimeout as pause } from "node:timers/promises";
import { closeAllEvent } from "../../../connection/attachment.ts";
import { backOff, varied } from "../../../shared/backoff.ts";
import {
  isDeclaredOtherwise,
  isMissing,
  mayPass,
  methodOf,
  replyCode,
  unlessNacked,
} from "../failure.ts";
import { type Binding, directExchange, reservedName } from "./bindings.ts";
import { classic, depth } from "./queues.ts";
import { accessRefused, preconditionFailed } from "../connection/refusal.ts";
import type { Session } from "../connection/session.ts";

/**
 * What the broker knows of a channel that was closed by `closeAll({ drain: true })`; ARCHITECTURE.md, "Closing",
 * has the protocol.
 *
 * The closed marker is a queue with one message. An attachment asks for it by deleting it if it is empty:
 * that does nothing where there is none, and fails where there is one.
 */

/** The content type of an announcement that the channel is closed; others take it for a plain `closeAll`. */
export const drainType = "application/vnd.channelts.drain";

/** The name of a channel's closed marker. */
export function markerOf(name: string): string {
  return reservedName(name, "closed");
}

/** There is a marker; the user may not ask; or it cannot be reached now, as another connection may be removing it. */
export type MarkerRefusal = "marked" | "forbidden" | "unreachable";

/**
 * What an error says of the closed marker; undefined where it is about something else. An attachment deletes nothing
 * but the marker, so the refused method tells; the words of a refusal are cut off where a name is long.
 */
export function markerRefusal(error: unknown): MarkerRefusal | undefined {
  if (methodOf(error) !== queueDelete) return undefined;
  const code = replyCode(error);
  if (code === preconditionFailed) return "marked";
  if (code === accessRefused) return "forbidden";
  return mayPass(error) ? "unreachable" : undefined;
}

/** The method `queue.delete`. */
const queueDelete = "50.40";

/** Removes the closed marker of a channel that is gone. */
export async function unmark(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueDelete(markerOf(name)));
}

/**
 * Makes the closed marker of a channel. False where there is no such channel.
 *
 * @param expires milliseconds after which the marker goes unless somebody attaches; absent: it stays
 */
export async function mark(
  session: Session,
  name: string,
  expires: number | undefined,
): Promise<boolean> {
  if (await depth(session, name) === undefined) return false;
  const marker = markerOf(name);
  let passive = false; // another process may have made the marker with another expiry
  for (let attempt = 1;; attempt++) {
    try {
      let isThere = true;
      await session.administer(async (channel, lane) => {
        await lane.confirm();
        channel.onReturn = () => isThere = false;
        await channel.queueDeclare(marker, { durable: true, passive }, {
          ...expires === undefined ? {} : { "x-expires": expires },
          "x-max-length": 1,
          ...classic, // RabbitMQ does not delete a quorum queue only if it is empty
        });
        await channel.basicPublish("", marker, "", { deliveryMode: 2 }, true).catch((error) => {
          unlessNacked(error);
          isThere = false; // it was removed as the message came
        });
        channel.onReturn = () => {};
        // A broker that is killed may have forgotten what it was last told to make. The binding is that, and
        // nothing is published to it.
        await channel.queueBind(marker, directExchange, marker);
      });
      if (isThere) break;
    } catch (error) {
      passive = isDeclaredOtherwise(error);
      // Another connection may be removing it: it took the marker for an empty one, or of an earlier channel.
      const isTemporary = passive || isMissing(error) || mayPass(error);
      if (attempt === mostAttempts || !isTemporary) throw error;
    }
    if (attempt === mostAttempts) throw new Error("the closed marker was removed again and again");
    await pause(backOff(attempt, 5, 500));
  }
  // Where the channel was deleted meanwhile, the marker would close the next of this name.
  if (await depth(session, name) !== undefined) return true;
  await unmark(session, name);
  return false;
}

/** Deletes a closed channel. @param hasExchange whether it has an exchange of its own */
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

/** Binds this connection where the channel's users are: it may have values of the channel, or is about to. */
export async function enter(session: Session, { exchange, routingKey }: Binding): Promise<void> {
  await session.administer((channel) =>
    channel.queueBind(session.announcements.queue, exchange, routingKey)
  );
}

/** Undoes `enter`: this connection has no values of the channel. */
export async function leave(session: Session, { exchange, routingKey }: Binding): Promise<void> {
  await session.administer((channel) =>
    channel.queueUnbind(session.announcements.queue, exchange, routingKey)
  );
}

/** What is to be got of a closed channel: values wait; others have some, or may; nothing, ever; it was deleted. */
export type Remainder = "some" | "perhaps" | "none" | "gone";

/** Looks twice: the broker gives back the values of a process that has just died a moment after its binding went. */
export async function remainder(
  session: Session,
  name: string,
  users: Binding,
): Promise<Remainder> {
  const first = await lookOnce(session, name, users);
  if (first !== "none") return first;
  await pause(varied(settleTime));
  return await lookOnce(session, name, users);
}

/** Nobody is bound, the queue is empty, and still nobody is bound: then nothing is left. */
async function lookOnce(session: Session, name: string, users: Binding): Promise<Remainder> {
  const hasUsers = await isHeard(session, name, users);
  const waiting = await depth(session, name);
  if (waiting === undefined) return "gone";
  if (waiting > 0) return "some";
  return hasUsers || await isHeard(session, name, users) ? "perhaps" : "none";
}

/**
 * Whether a connection is bound: announces once more that the channel is closed, and the broker returns what nobody
 * hears. So nothing is changed at the broker, and who had missed the announcement hears it now.
 */
async function isHeard(session: Session, name: string, users: Binding): Promise<boolean> {
  const about = {
    contentType: drainType,
    correlationId: name,
    messageId: session.nextId(),
    expiration: String(announcementLife),
  };
  let isHeard = true;
  try {
    await session.administer(async (channel, lane) => {
      await lane.confirm();
      channel.onReturn = () => isHeard = false; // comes before the confirmation
      await channel.basicPublish(users.exchange, users.routingKey, closeAllEvent, about, true)
        .catch(unlessNacked);
      channel.onReturn = () => {};
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
    return false; // nobody is bound to an exchange that is gone
  }
  return isHeard;
}

const mostAttempts = 10;

/** Milliseconds after which the values that a dead process had are back in the queue. */
const settleTime = 30;

/** Milliseconds after which a repeated announcement goes that a stopped process does not read. */
const announcementLife = 1000;
