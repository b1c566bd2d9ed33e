/** The prefix of every id that this library makes. */
const prefix = "cts.";

/**
 * The part of an id that only this isolate has: 80 random bits. It is made when it is first used: some runtimes allow no
 * random numbers while a module is loaded.
 */
let isolatePrefix: string | undefined;
let count = 0;

/** Returns an ASCII id that no other message has. */
export function nextMessageId(): string {
  return (isolatePrefix ??= newIsolatePrefix()) + (count++).toString(36);
}

function newIsolatePrefix(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `${prefix}${btoa(String.fromCharCode(...bytes)).slice(0, 14)}.`;
}

/** Reports whether this library made the id, so that only copies of one message have it. */
export function isOwnId(id: string): boolean {
  return id.startsWith(prefix) && /^[!-~]{1,64}$/.test(id);
}
