import { setTimeout as pause } from "node:timers/promises";
import { varied } from "../../../shared/backoff.ts";
import { closeAllEvent } from "../../close_all_event.ts";
import type { Session } from "../connection/session.ts";
import { isMissing, unlessNacked } from "../failure.ts";
import type { Binding } from "./bindings.ts";
import { drainType } from "./closed_marker.ts";
import { depth } from "./queues.ts";

/**
 * The presence of processes at a closed channel, and its end; docs/internals/amqp.md has the protocol ("Closing").
 *
 * A process is present while its announcement queue is bound where the channel's users are: it may have values of the
 * channel, or puts under way. The broker drops the binding with the connection, so a process that dies is absent.
 *
 * @module
 */

/** Makes this process present, before it takes values of the channel. */
export async function becomePresent(session: Session, users: Binding): Promise<void> {
  await session.administer((channel) =>
    channel.queueBind(session.announcements.queue, users.exchange, users.routingKey)
  );
}

/** Makes this process absent: it has no values of the channel. */
export async function becomeAbsent(session: Session, users: Binding): Promise<void> {
  await session.administer((channel) =>
    channel.queueUnbind(session.announcements.queue, users.exchange, users.routingKey)
  );
}

/** What an absent process finds at a closed channel. Values that processes hold may still come back. */
export type Outlook = "values wait" | "processes are present" | "end" | "deleted";

/**
 * Looks for the end of a closed channel: nobody is present, nothing waits, and still nobody is present, seen twice. The
 * broker gives back the values of a process that has died a moment after its binding is gone.
 */
export async function lookForEnd(
  session: Session,
  name: string,
  users: Binding,
): Promise<Outlook> {
  const first = await lookOnce(session, name, users);
  if (first !== "end") return first;
  await pause(varied(settleTime));
  return await lookOnce(session, name, users);
}

async function lookOnce(session: Session, name: string, users: Binding): Promise<Outlook> {
  const wasPresent = await isAnyonePresent(session, name, users);
  const waiting = await depth(session, name);
  if (waiting === undefined) return "deleted";
  if (waiting > 0) return "values wait";
  const isPresent = wasPresent || await isAnyonePresent(session, name, users);
  return isPresent ? "processes are present" : "end";
}

/**
 * Reports whether any process is present: announces once more that the channel is closed, which the broker returns if
 * no queue is bound. That changes nothing at the broker, and a process that missed the announcement receives it now.
 */
async function isAnyonePresent(session: Session, name: string, users: Binding): Promise<boolean> {
  const properties = {
    contentType: drainType,
    correlationId: name,
    messageId: session.nextId(),
    expiration: String(announcementLife),
  };
  let isPresent = true;
  try {
    await session.administer(async (channel, pooled) => {
      await pooled.confirm();
      channel.onReturn = () => isPresent = false; // the return precedes the confirmation
      await channel.basicPublish(users.exchange, users.routingKey, closeAllEvent, properties, true)
        .catch(unlessNacked);
      channel.onReturn = () => {};
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
    return false; // nothing is bound to an exchange that is gone
  }
  return isPresent;
}

/** Milliseconds after the end of a process within which its values are back in the queue. */
const settleTime = 30;

/** Milliseconds for which a repeated announcement waits for a process that is stopped. */
const announcementLife = 1000;
