/** The prefix of every id that this library makes. */
const prefix = "cts.";

/** The part of an id that only this isolate has: 80 random bits. */
const isolatePrefix = `${prefix}${
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(10)))).slice(0, 14)
}.`;
let count = 0;

/** Returns an ASCII id that no other message has. */
export function nextMessageId(): string {
  return isolatePrefix + (count++).toString(36);
}

/** Reports whether this library made the id, so that only copies of one message have it. */
export function isOwnId(id: string): boolean {
  return id.startsWith(prefix) && /^[!-~]{1,64}$/.test(id);
}
