import { setTimeout as pause } from "node:timers/promises";
import { isAnonymous } from "../../names.ts";
import { varied } from "../../pauses.ts";
import {
  isDeclaredOtherwise,
  isMissing,
  notFound,
  preconditionFailed,
  replyCode,
} from "./failure.ts";
import type { Session } from "./session.ts";

/**
 * What the broker knows of a channel that was closed by `closeAll({ drain: true })`; ARCHITECTURE.md, "Closing",
 * has the protocol.
 *
 * The sign is a queue with one message: to delete it if it is empty costs a lookup where there is none, and fails
 * where there is one, which an attachment asks on its way. The seal is an exchange to which the channel's
 * queue is bound, so that it goes with that queue; a sign without a seal is of a channel that is gone.
 */

/** The content type of an announcement that the channel is closed; others take it for a plain `closeAll`. */
export const drainType = "application/vnd.channelts.drain";

/** The sign's name, and the seal's. */
export function signOf(name: string): string {
  const sign = `${name}.closed.channelts`;
  if (new TextEncoder().encode(sign).length <= 255) return sign;
  let hash = 0xcbf29ce484222325n; // FNV-1a
  for (const byte of new TextEncoder().encode(name)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `${hash.toString(16)}.closed.channelts`;
}

/** Whether an error says that there is a sign. */
export function isSign(error: unknown): boolean {
  const text = String(error);
  return text.includes(".closed.channelts'") &&
    (/not empty/.test(text) || /down or inaccessible/.test(text));
}

/** Whether an error says that the user may not ask for a sign. */
export function isSecret(error: unknown): boolean {
  return replyCode(error) === 403 && String(error).includes(".closed.channelts'");
}

/** Whether the sign is the channel's of today; one of an earlier channel of this name is removed. */
export async function isSealed(session: Session, name: string): Promise<boolean> {
  const sign = signOf(name);
  try {
    await session.administer((channel) =>
      channel.exchangeDeclare(sign, "fanout", { passive: true })
    );
    return true;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  await session.administer((channel) => channel.queueDelete(sign));
  return false;
}

/** Seals a channel and puts up the sign, and tells everyone who is attached. False where there is no such channel. */
export async function seal(
  session: Session,
  name: string,
  lease: number | undefined,
  announce: () => Promise<unknown>,
): Promise<boolean> {
  const sign = signOf(name);
  const expiry = lease === undefined ? {} : { "x-expires": signLease(lease) };
  let passive = false; // who has made the sign already may have given it another lease
  for (let attempt = 1;; attempt++) {
    try {
      await session.administer((channel) =>
        Promise.all([
          channel.exchangeDeclare(sign, "fanout", { durable: true, autoDelete: true }),
          channel.queueBind(name, sign, ""),
        ])
      );
      let isThere = true;
      await session.administer(async (channel, lane) => {
        await lane.confirm();
        channel.onReturn = () => isThere = false;
        await channel.queueDeclare(sign, { durable: true, passive }, {
          ...expiry,
          "x-max-length": 1,
          "x-queue-type": "classic", // of a quorum queue RabbitMQ does not delete what is empty only
        });
        await channel.basicPublish("", sign, "", { deliveryMode: 2 }, true);
        channel.onReturn = () => {};
        // A broker that is killed may have forgotten what it was last told to make: that is this, not the sign.
        await channel.queueBind(name, sign, "again");
      });
      if (isThere) break;
    } catch (error) {
      if (replyCode(error) === notFound && String(error).includes(`no queue '${name}'`)) {
        return false;
      }
      passive = isDeclaredOtherwise(error);
      if (attempt === mostAttempts || !passive && !isMissing(error)) throw error;
    }
    if (attempt === mostAttempts) throw new Error("the sign was removed again and again");
    await pause(attempt * 10 * Math.random()); // whoever attached took it for an empty one
  }
  await announce();
  return true;
}

/** Deletes a closed channel; the seal goes with its queue. */
export async function removeClosed(session: Session, name: string): Promise<void> {
  await session.administer((channel) =>
    Promise.all([
      channel.queueDelete(name),
      channel.queueDelete(signOf(name)),
      channel.exchangeDelete(name),
    ])
  );
}

/** Says that this process may have values of a closed channel, or is about to. */
export async function enter(
  session: Session,
  name: string,
  lease: number | undefined,
): Promise<void> {
  const isLasting = !isAnonymous(name) && lease === undefined;
  let passive = false;
  for (let attempt = 1;; attempt++) {
    try {
      await session.administer((channel) =>
        Promise.all([
          channel.exchangeDeclare(name, "fanout", {
            durable: isLasting,
            autoDelete: !isLasting,
            passive,
          }),
          channel.queueBind(session.bulletin.queue, name, ""),
        ])
      );
      return;
    } catch (error) {
      const code = replyCode(error);
      if (attempt === mostAttempts || (code !== preconditionFailed && code !== notFound)) {
        throw error;
      }
      passive = code === preconditionFailed;
    }
  }
}

/** Says that it has none. */
export async function leave(session: Session, name: string): Promise<void> {
  await session.administer((channel) => channel.queueUnbind(session.bulletin.queue, name, ""));
}

/** What is to be got of a closed channel: values wait; others have some, or may; nothing, ever. */
export type Remainder = "some" | "perhaps" | "none" | "gone";

/** Looks twice: of a process that has just died, the broker gives back its values a moment after its binding. */
export async function remainder(session: Session, name: string): Promise<Remainder> {
  const first = await lookOnce(session, name);
  if (first !== "none") return first;
  await pause(varied(settleTime));
  return await lookOnce(session, name);
}

/**
 * Whoever has values, or puts under way, is bound to the channel's exchange, which can be deleted only where nobody
 * is: before and after its queue is seen to be empty.
 */
async function lookOnce(session: Session, name: string): Promise<Remainder> {
  let depth: number | undefined;
  try {
    await session.administer((channel) => {
      const count = () => channel.queueDeclare(name, { passive: true, durable: true });
      return Promise.all([
        count().then(({ messageCount }) => depth = messageCount),
        channel.exchangeDelete(name, { ifUnused: true }),
        count().then(({ messageCount }) => depth = Math.max(depth!, messageCount)),
        channel.exchangeDelete(name, { ifUnused: true }),
      ]);
    });
    return depth === 0 ? "none" : "some";
  } catch (error) {
    if (isMissing(error)) return "gone";
    if (replyCode(error) !== preconditionFailed) throw error;
    return depth! > 0 ? "some" : "perhaps";
  }
}

const mostAttempts = 10;
/** Milliseconds for which the sign of a channel with a lease stays unless that is deleted: a week, or longer than it. */
function signLease(lease: number): number {
  return Math.min(Math.max(2 * lease, 7 * 24 * 3600 * 1000), 2 ** 31 - 1);
}
/** Milliseconds after which what a dead process had is back in the queue. */
const settleTime = 30;
