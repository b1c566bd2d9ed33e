/** What begins every id that this library makes. */
const prefix = "cts.";

/** 80 random bits for this isolate. */
const here = `${prefix}${
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(10)))).slice(0, 14)
}.`;
let count = 0;

/** An id, in ASCII, that no other message has. */
export function nextMessageId(): string {
  return here + (count++).toString(36);
}

/** Whether this library made the id, so that no two messages have it. */
export function isOwnId(id: string): boolean {
  return id.startsWith(prefix) && /^[!-~]{1,64}$/.test(id);
}
