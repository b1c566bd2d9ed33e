/**
 * A received frame: a header line and a body. The header is a word, then arguments with a space before each; the last
 * may be a JSON object. See docs/home-protocol.md.
 */
export interface Frame {
  readonly word: string;
  /** The arguments that are no JSON. */
  readonly args: readonly string[];
  /** The JSON object; empty if the header has none. Its members are untrusted. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The body; empty if the frame has none. It may be a part of a larger buffer. */
  readonly body: Uint8Array;
}

/** The other end has sent what the protocol does not allow. The connection ends. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** The largest header in bytes. It bounds the time to parse one. */
const maxHeader: number = 1 << 16;

/** The number of request numbers in one frame, so that its header is small. */
export const maxNumbers = 512;

const lineFeed = 10;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const nothing = new Uint8Array();
const noFields: Frame["fields"] = Object.freeze({});

/** @throws {ProtocolError} if the frame cannot be read */
export function readFrame(bytes: Uint8Array): Frame {
  const end = bytes.indexOf(lineFeed);
  const length = end < 0 ? bytes.length : end;
  if (length > maxHeader) throw new ProtocolError(`a frame's header has ${length} bytes`);
  const body = end < 0 ? nothing : bytes.subarray(end + 1);
  const header = headerText(bytes, length);
  const json = header.indexOf(" {");
  const [word, ...args] = (json < 0 ? header : header.slice(0, json)).split(" ");
  if (!/^[A-Z]{1,16}$/.test(word!)) throw new ProtocolError("a frame begins with no word");
  return { word: word!, args, fields: json < 0 ? noFields : parse(header.slice(json + 1)), body };
}

/** Returns the bytes of a frame, for pipes that send a frame as one buffer. */
export function frameBytes(header: string, body?: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = encoder.encode(header);
  if (body === undefined || body.length === 0) return head;
  const frame = new Uint8Array(head.length + 1 + body.length);
  frame.set(head);
  frame[head.length] = lineFeed;
  frame.set(body, head.length + 1);
  return frame;
}

/** @throws {ProtocolError} if the argument is no number of a link, a request or an attempt */
export function numberOf(arg: string | undefined): number {
  if (arg === undefined || !/^[1-9]\d{0,15}$/.test(arg)) {
    throw new ProtocolError("a number is none");
  }
  const number = Number(arg);
  if (number > Number.MAX_SAFE_INTEGER) throw new ProtocolError("a number is too large");
  return number;
}

/** A header as a string: quickly if it is short and ASCII, as most are. */
function headerText(bytes: Uint8Array, length: number): string {
  if (length > 24) return decodeText(bytes.subarray(0, length));
  let text = "";
  for (let i = 0; i < length; i++) {
    const code = bytes[i]!;
    if (code > 0x7f) return decodeText(bytes.subarray(0, length));
    text += String.fromCharCode(code);
  }
  return text;
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError("a frame's header is not UTF-8");
  }
}

function parse(json: string): Frame["fields"] {
  let fields: unknown;
  try {
    fields = JSON.parse(json);
  } catch {
    throw new ProtocolError("a frame's header has no valid JSON");
  }
  return fields as Frame["fields"]; // an object, since the text begins with a brace
}
