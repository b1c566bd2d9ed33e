import { setTimeout as pause } from "node:timers/promises";
import { backOff } from "../../../shared/backoff.ts";
import { ChannelConfigError } from "../../../shared/errors.ts";
import { closeAllEvent } from "../../close_all_event.ts";
import type { Session } from "../connection/session.ts";
import { isMissing, methodOf, replyCode, unlessNacked, wordsOf } from "../failure.ts";
import { type Binding, commonBinding, type Lifetime, usersBinding } from "./bindings.ts";
import { drainType, markerOf, removeClosed, removeMarker } from "./closed_marker.ts";
import {
  type AttachOptions,
  type Declaration,
  firstDeclaration,
  nextStep,
  readDeclarationRefusal,
} from "./declaration.ts";
import { becomeAbsent } from "./presence.ts";
import { depth } from "./queues.ts";

/** A channel as an attachment has found it. */
export interface Found {
  /** Whether the channel was closed by a drain. The connection is not bound then. */
  readonly isClosed: boolean;
  /** Whether the channel has a capacity, as far as its declaration tells. */
  readonly isBounded: boolean;
  readonly lifetime: Lifetime;
  /** How its queue may drop messages, as far as its declaration tells. */
  readonly hazard: string | undefined;
}

/**
 * Attaches to a channel: declares its missing parts and binds this connection's announcement queue. Returns undefined
 * if the channel does not exist.
 *
 * A channel is a durable queue on the default exchange. A durable channel also has a fanout exchange of the same name
 * for announcements, as ChannelPy has, so that both can share it. A channel that expires is only the queue.
 *
 * A refusal closes the AMQP channel and reports one difference, so an attachment is a sequence of declarations. After
 * each refusal, {@linkcode nextStep} says what to declare, or to find out, next.
 */
export async function attach(
  session: Session,
  name: string,
  options: AttachOptions,
): Promise<Found | undefined> {
  if (earlierUnbuffered.test(name)) throw unbufferedError(name);
  let declaration = firstDeclaration(name, options);
  let denial: unknown;
  for (let attempt = 1;; attempt++) {
    const isLast = attempt === mostAttempts;
    try {
      await declare(session, name, declaration);
      return found(declaration, false);
    } catch (error) {
      const refusal = readDeclarationRefusal(replyCode(error), wordsOf(error), methodOf(error));
      const step = nextStep(refusal, declaration, isLast);
      switch (step.next) {
        case "declare":
          declaration = step.declaration;
          if (declaration.isDenied) denial ??= error;
          if (step.pauses) await pause(backOff(attempt, 5, 500));
          break;
        case "probe marker": {
          const closed = await probeMarker(session, name, declaration);
          if (closed !== undefined) return closed;
          if (!declaration.creates) return undefined;
          if (isLast) throw error;
          break;
        }
        case "probe lifetime": {
          const lifetime = await hasExchange(session, name) ? "durable" : "expiring";
          declaration = { ...step.declaration, lifetime };
          break;
        }
        case "report missing":
          return undefined;
        case "reject":
          if (step.because === "capacity 0") throw unbufferedError(name);
          throw step.because === "denied" ? denial : error;
      }
    }
  }
}

/** Other connections may create and delete the channel meanwhile, but hardly at each attempt. */
const mostAttempts = 10;

/** Declares the parts of a channel, binds this connection and asks for the closed marker, in one round trip. */
async function declare(session: Session, name: string, declaration: Declaration): Promise<void> {
  const { lifetime, queue, queueArguments, exchange, asksForMarker } = declaration;
  const users = usersBinding(name, lifetime);
  const isDurable = lifetime === "durable";
  await session.administer((channel) => {
    const askForMarker = () =>
      asksForMarker ? [channel.queueDelete(markerOf(name), { ifEmpty: true })] : [];
    const declareExchange = (passive: boolean) =>
      channel.exchangeDeclare(name, "fanout", { durable: true, passive });
    return Promise.all([
      // First, so that no queue is created for a channel that has the marker.
      ...queue === "create" ? askForMarker() : [],
      channel.queueDeclare(name, { durable: true, passive: queue === "find" }, queueArguments),
      ...isDurable && exchange !== "create" ? [declareExchange(true)] : [],
      ...isDurable && exchange !== "find" ? [declareExchange(false)] : [],
      ...lifetime === "anonymous"
        ? []
        : [channel.queueBind(session.announcements.queue, users.exchange, users.routingKey)],
      // Last, so that a process that closes the channel later announces it to this connection.
      ...askForMarker(),
    ]);
  });
}

function found({ isBounded, lifetime, hazard }: Declaration, isClosed: boolean): Found {
  return { isClosed, isBounded, lifetime, hazard };
}

/**
 * Looks for the channel of a closed marker. Returns the closed channel, or undefined after removing the marker of a
 * channel that is gone.
 */
async function probeMarker(
  session: Session,
  name: string,
  declaration: Declaration,
): Promise<Found | undefined> {
  if (await depth(session, name) === undefined) {
    await removeMarker(session, name);
    return undefined;
  }
  let { lifetime } = declaration;
  if (lifetime === "durable" && !await hasExchange(session, name)) lifetime = "expiring";
  await detach(session, name, lifetime);
  return found({ ...declaration, lifetime }, true);
}

/** Reports whether a channel has an exchange of its own. */
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

/** The names that earlier versions gave to anonymous channels of capacity 0. */
const earlierUnbuffered = /^[0-9a-f]{12}80008000[0-9a-f]{12}$/;

function unbufferedError(name: string): ChannelConfigError {
  return new ChannelConfigError(
    `attach: channel ${name} has capacity 0, which an earlier version of this library gave it on RabbitMQ; ` +
      "delete its queue and its exchange, or use another name",
  );
}

/** Undoes the binding of `attach`. */
export async function detach(session: Session, name: string, lifetime: Lifetime): Promise<void> {
  if (lifetime !== "anonymous") await becomeAbsent(session, usersBinding(name, lifetime));
}

/** The state of a channel that decides where its announcements go. */
export interface ChannelState {
  readonly lifetime: Lifetime;
  /** Whether the channel was closed by a drain. */
  readonly isClosed: boolean;
}

/**
 * Deletes a channel, whether it exists or not, and announces the deletion. The queue is deleted first: a process that
 * receives the announcement may create the channel again at once, and put into it.
 *
 * The deletion of an anonymous channel is announced only if something was announced on it before, since each
 * announcement of an anonymous channel reaches all connections. Without one, the broker tells the processes that wait
 * for messages, and the others find out with their next operation.
 *
 * @param state `hasLease` tells whether the channel has a lease. ChannelPy declares an exchange for each channel that it
 * attaches to, which it can only do without a lease.
 */
export async function remove(
  session: Session,
  name: string,
  state: ChannelState & { readonly hasAnnounced: boolean; readonly hasLease: boolean },
): Promise<void> {
  const { lifetime, isClosed, hasAnnounced, hasLease } = state;
  if (lifetime === "durable" && !isClosed) return await removeDurable(session, name);
  const mayHaveExchange = lifetime === "durable" || lifetime === "anonymous" && !hasLease;
  if (isClosed) await removeClosed(session, name, mayHaveExchange);
  else {
    await session.administer((channel) =>
      Promise.all([
        channel.queueDelete(name),
        ...mayHaveExchange ? [channel.exchangeDelete(name)] : [],
      ])
    );
  }
  if (lifetime !== "anonymous" || hasAnnounced) {
    await announce(session, name, [{ event: deletionEvent, messageId: session.nextId() }], {
      lifetime,
      isClosed,
    });
  }
}

/** Deletes an open durable channel in one round trip. */
async function removeDurable(session: Session, name: string): Promise<void> {
  const messageId = session.nextId();
  try {
    await session.administer(async (channel, pooled) => {
      await pooled.confirm();
      await Promise.all([
        channel.queueDelete(name),
        channel.basicPublish(name, "", deletionEvent, { messageId }).catch(unlessNacked),
        channel.exchangeDelete(name),
      ]);
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
    // The exchange is missing. The client may have sent the announcement before the deletion.
    await session.administer((channel) => channel.queueDelete(name));
  }
}

/** The event that the deletion of a channel announces. */
const deletionEvent = new TextEncoder().encode("delete");

/** Reports whether an announced event is that of a deletion. */
export function isDeletionEvent(event: Uint8Array): boolean {
  return event.length === deletionEvent.length &&
    event.every((byte, i) => byte === deletionEvent[i]);
}

/** Returns what the broker knows of a channel that this process has attached to. */
export async function look(session: Session, name: string): Promise<"open" | "closed" | "gone"> {
  if (await depth(session, name) === undefined) return "gone";
  return await depth(session, markerOf(name)) === undefined ? "open" : "closed";
}

/** An event, with an id that each copy of it has. */
export interface Announcement {
  readonly event: Uint8Array;
  readonly messageId: string;
}

/**
 * Publishes announcements, in their order. Returns false if the channel's exchange is missing, so that no process
 * receives them.
 */
export async function announce(
  session: Session,
  name: string,
  events: readonly Announcement[],
  state: ChannelState,
  contentType?: string,
): Promise<boolean> {
  const { exchange, routingKey } = announcementBinding(name, state);
  const common = { correlationId: name, ...contentType === undefined ? {} : { contentType } };
  try {
    await session.administer(async (channel, pooled) => {
      await pooled.confirm();
      await Promise.all(events.map(({ event, messageId }) => {
        const properties = { messageId, ...common };
        return channel.basicPublish(exchange, routingKey, event, properties).catch(unlessNacked);
      }));
    });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Announces that a channel is closed by a drain. The closed marker is there already. */
export async function announceDrain(
  session: Session,
  name: string,
  lifetime: Lifetime,
): Promise<void> {
  await announce(session, name, [{ event: closeAllEvent, messageId: session.nextId() }], {
    lifetime,
    isClosed: false,
  }, drainType);
}

/** Returns the binding of a channel's users; those of a closed channel may have left theirs. */
function announcementBinding(name: string, { lifetime, isClosed }: ChannelState): Binding {
  return isClosed || lifetime === "anonymous" ? commonBinding : usersBinding(name, lifetime);
}
