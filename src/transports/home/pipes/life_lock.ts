// Browsers do not tell a page that the thread at the other end of a port has ended. A Web Lock does: it is released when
// its holder ends. Deno, Bun and Node close the port instead, and a lock would keep their processes alive.

import { anonymousName } from "../../../shared/names.ts";

const prefix = "lock ";

/**
 * Holds a lock for as long as this page or thread lives, and calls `tell` with the message that lets the other end of a
 * port await its release. Does nothing outside of browsers.
 */
export function holdLock(tell: (message: string) => void): void {
  const locks = browserLocks();
  if (locks === undefined) return;
  const name = `channelts ${anonymousName()}`;
  locks.request(name, () => {
    tell(prefix + name);
    return new Promise<void>(() => {});
  }).catch(() => {}); // a page that may not use locks is one whose end is not noticed
}

/**
 * Calls `released` when the holder of a lock has ended, if the message of its port names one that it holds. Returns false
 * for another message.
 *
 * @param signal ends the wait
 */
export function awaitRelease(message: unknown, released: () => void, signal: AbortSignal): boolean {
  if (typeof message !== "string" || !message.startsWith(prefix)) return false;
  const name = message.slice(prefix.length);
  wait(name, released, signal).catch(() => {}); // the wait was ended, or locks are not allowed
  return true;
}

async function wait(name: string, released: () => void, signal: AbortSignal): Promise<void> {
  const locks = browserLocks();
  const { held = [] } = await locks?.query() ?? {};
  // A page of another origin has other locks.
  if (held.some((lock) => lock.name === name)) await locks!.request(name, { signal }, released);
}

/** The part of the Web Locks API that is used here (https://www.w3.org/TR/web-locks/). */
interface Locks {
  query(): Promise<{ readonly held?: readonly { readonly name?: string }[] }>;
  request(name: string, granted: () => void | Promise<void>): Promise<void>;
  request(
    name: string,
    options: { readonly signal: AbortSignal },
    granted: () => void,
  ): Promise<void>;
}

function browserLocks(): Locks | undefined {
  if ("process" in globalThis || "Deno" in globalThis) return undefined;
  return (globalThis.navigator as { readonly locks?: Locks } | undefined)?.locks;
}
