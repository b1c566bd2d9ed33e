import { bytes, concat, generic, head, text } from "./hex.ts";

/** Values that take the most memory for their bytes. Each function makes a CBOR message of about `size` bytes. */
export const COSTLY: ReadonlyMap<string, (size: number) => Uint8Array> = new Map([
  ["nulls", list("f6")],
  ["empty byte strings", list("40")],
  ["byte strings of 1", list("4100")],
  ["byte strings of no chunks", list("5fff")],
  ["one byte string of empty chunks", open("5f", () => "40")],
  ["empty arrays", list("80")],
  ["arrays of 1", list("8100")],
  ["arrays of 2", list("820000")],
  ["arrays in arrays", list("8180")],
  ["empty maps", list("a0")],
  ["maps with three-letter keys, all different", each((i) => `a1${text(name(i, 3))}00`)],
  ...["9", "999", "1000"].map((key) =>
    [`maps with the key ${key}`, list(`a1${text(key)}00`)] as const
  ),
  ["empty Sets", list("d9010280")],
  ["empty Maps", list("d90103a0")],
  ["Maps of 5", list("d90103a500000100020003000400")],
  ["one Map of arrays", open("d90103bf", () => "80f6")],
  ["Dates", list("c100")],
  ["RegExps, all different", each((i) => `d9524a82${text(name(i, 3))}60`)],
  ["Errors", list(`${generic("Error", 2)}60a0`)],
  ["DOMExceptions", list(`${generic("DOMException", 2)}6060`)],
  ["empty Int8Arrays", list("d84840")],
  ["big-endian Int16Arrays of 1", list("d849420000")],
  ["resizable ArrayBuffers of 64 KiB at most", list(`${generic("ArrayBuffer", 2)}401a00010000`)],
  [
    "DataViews with their own buffers",
    list(`${generic("DataView", 3)}${generic("ArrayBuffer", 1)}400000`),
  ],
  ["sparse arrays of length 1024", list(`${generic("Array", 2)}190400a0`)],
  ["sparse arrays with a large gap", list(`${generic("Array", 2)}1903e9a1${text("1000")}00`)],
  ["BigInts", list("c24101")],
]);

const utf8 = new TextEncoder();

/** Such values in JSON. */
export const COSTLY_JSON: ReadonlyMap<string, (size: number) => Uint8Array> = new Map([
  ["JSON's empty arrays", listJson(() => "[]")],
  ["JSON's empty objects", listJson(() => "{}")],
  ["JSON's arrays in arrays", listJson(() => "[".repeat(900) + "]".repeat(900))],
  ["JSON's objects with three-letter keys, all different", listJson((i) => `{"${name(i, 3)}":0}`)],
  ...["9", "99", "999", "1000", "\\u0039\\u00399"].map((key) =>
    [`JSON's objects with the key ${key}`, listJson(() => `{"${key}" : 0}`)] as const
  ),
]);

/** Messages with references to channels, all different, which are got from a channel. */
export const COSTLY_REFERENCES: ReadonlyMap<string, (size: number) => Uint8Array> = new Map([
  ["references", each((i) => `${generic("Channel", 1)}${text(name(i, 3))}`)],
  [
    "references to send with",
    each((i) => `${generic("Channel", 4)}${text(name(i, 3))}f7${text("cbor")}${text("send")}`),
  ],
  ["JSON's references", listJson((i) => `{"__channel__":true,"name":"${name(i, 3)}"}`)],
]);

/** An array of JSON items that depend on their index. */
function listJson(item: (i: number) => string): Make {
  return (size) => {
    const items: string[] = [];
    for (let i = 0, left = size; left > 0; i++) left -= items[items.push(item(i)) - 1]!.length + 1;
    return utf8.encode(`[${items.join()}]`);
  };
}

type Make = (size: number) => Uint8Array;

/** Returns the i-th item; a text is hexadecimal digits. */
type Item = (i: number) => string | Uint8Array;

/** An array of equal items. */
function list(item: string): Make {
  const once = bytes(item);
  return each(() => once);
}

/** An array of items. */
function each(item: Item): Make {
  return (size) => {
    const [items, count] = fill(size, item);
    return concat(head(4, count), items);
  };
}

/** An item of indefinite length, made of parts. */
function open(start: string, part: Item): Make {
  return (size) => concat(start, fill(size, part)[0], "ff");
}

function fill(size: number, item: Item): [items: Uint8Array, count: number] {
  const items = new Uint8Array(size);
  let at = 0;
  let count = 0;
  for (;; count++) {
    const made = item(count);
    const next = typeof made === "string" ? bytes(made) : made;
    if (at + next.length > size) return [items.subarray(0, at), count];
    items.set(next, at);
    at += next.length;
  }
}

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The i-th name with this many letters. */
function name(i: number, letters: number): string {
  let result = "";
  for (; letters > 0; letters--) {
    result += LETTERS[i % LETTERS.length];
    i = Math.floor(i / LETTERS.length);
  }
  return result;
}
