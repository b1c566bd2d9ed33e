// How values are written in arguments, on stdin and on stdout.

import { Buffer } from "node:buffer";
import { decode as decodeCbor, encode as encodeCbor } from "../encoding/cbor/mod.ts";
import { Channel, ReceiveChannel, SendChannel } from "../../mod.ts";
import { CliError } from "./cli_error.ts";
import type { CommandOption } from "./command.ts";
import { printable } from "./printable.ts";

/** How values are written: JSON texts, plain text and bytes, or CBOR items. */
export type Notation = "json" | "raw" | "cbor";

/** The options that choose a notation. */
export interface NotationOptions {
  readonly raw?: boolean;
  readonly cbor?: boolean;
  readonly null?: boolean;
}

/** The options of a command that reads values. */
export const inputOptions: readonly CommandOption[] = [
  { flags: "--raw", description: "a value is text, not JSON" },
  { flags: "--cbor", description: "stdin is a sequence of CBOR items" },
  { flags: "--null", description: "a value on stdin ends with a NUL byte, not with a line" },
];

/** The options of a command that prints values. */
export const outputOptions: readonly CommandOption[] = [
  { flags: "--raw", description: "print strings and bytes as they are, not as JSON" },
  { flags: "--cbor", description: "print a sequence of CBOR items, which has every value exactly" },
  { flags: "--null", description: "end each value with a NUL byte, not with a line" },
];

/** Returns the notation that the options choose. */
export function notationOf({ raw, cbor }: NotationOptions): Notation {
  if (raw && cbor) throw new CliError("--raw and --cbor exclude each other", { exitCode: 2 });
  return raw ? "raw" : cbor ? "cbor" : "json";
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Returns the value that a text or an item of CBOR says.
 *
 * @param where what is read, for the error: `line 3`
 * @throws {CliError} if it cannot be read
 */
export function readValue(
  written: string | Uint8Array,
  notation: Notation,
  where: string,
): unknown {
  if (notation === "cbor") {
    try {
      return decodeCbor(written as Uint8Array, { owned: false });
    } catch (cause) {
      throw new CliError(`${where} is not CBOR of one value: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  const text = typeof written === "string" ? written : textOf(written, where);
  if (notation === "raw") return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CliError(`${where} is not JSON: ${shortened(text)}; for plain text, add --raw`, {
      cause,
    });
  }
}

function textOf(bytes: Uint8Array, where: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new CliError(`${where} is not UTF-8; for bytes, use --file or --cbor`, { cause });
  }
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/**
 * Returns a value as it is printed.
 *
 * @param isExact whether a value that JSON cannot represent is an error; otherwise its nearest form is printed
 * @throws {CliError} if the notation cannot represent the value
 */
export function writeValue(
  value: unknown,
  options: NotationOptions,
  isExact: boolean,
): string | Uint8Array {
  const notation = notationOf(options);
  if (notation === "cbor") return cborOf(value);
  const end = options.null ? "\0" : "\n";
  if (notation === "raw") {
    if (typeof value === "string") return value + end;
    const bytes = bytesOf(value);
    if (bytes !== undefined) return bytes;
  }
  return printable(jsonOf(value, isExact)) + end;
}

/** Returns a value as it is written to the stdin of a program. What JSON does not have is in its nearest form. */
export function inputOf(value: unknown, options: NotationOptions): Uint8Array {
  const written = writeValue(value, options, false);
  return typeof written === "string" ? Buffer.from(written) : written;
}

function cborOf(value: unknown): Uint8Array {
  return encodeCbor(value, {
    extension: (object) => {
      if (isChannel(object)) {
        throw new CliError("the value has a channel, which only a channel can carry; use pipe");
      }
      return undefined;
    },
  });
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

function isChannel(value: unknown): value is Channel | SendChannel | ReceiveChannel {
  return value instanceof Channel || value instanceof SendChannel ||
    value instanceof ReceiveChannel;
}

/** Returns a value as JSON on one line. */
export function jsonOf(value: unknown, isExact: boolean): string {
  const inside: object[] = [];
  const plain = (value: unknown, path: string): unknown => {
    const refuse = (what: string): void => {
      if (!isExact) return;
      const place = path === "" ? "the value" : `the value at ${path}`;
      throw new CliError(`${place} is ${what}, which JSON does not have; add --cbor or --lossy`);
    };
    switch (typeof value) {
      case "undefined":
        refuse("undefined");
        return null;
      case "bigint":
        refuse("a bigint");
        return String(value);
      case "number":
        if (!Number.isFinite(value) || Object.is(value, -0)) {
          refuse(Object.is(value, -0) ? "-0" : `${value}`);
        }
        return Number.isFinite(value) ? value : String(value);
      case "object":
        break;
      default:
        return value;
    }
    if (value === null) return null;
    if (inside.includes(value)) {
      refuse("inside itself");
      return null;
    }
    inside.push(value);
    try {
      return members(value, path, refuse);
    } finally {
      inside.pop();
    }
  };
  const members = (value: object, path: string, refuse: (what: string) => void): unknown => {
    if (Array.isArray(value)) {
      return Array.from(value, (each, index) => plain(each, `${path}[${index}]`));
    }
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      const name = value.constructor?.name ?? "Object";
      refuse(`${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`);
      const bytes = bytesOf(value);
      if (bytes !== undefined) return Buffer.from(bytes).toString("base64");
      if (isChannel(value)) return { __channel__: true, name: value.name };
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
      if (value instanceof Map) {
        return [...value].map(([key, each]) => [plain(key, path), plain(each, path)]);
      }
      if (value instanceof Set) return [...value].map((each) => plain(each, path));
      if (value instanceof Error) return { name: value.name, message: value.message };
      if (value instanceof RegExp) return String(value);
      if (value instanceof String || value instanceof Number || value instanceof Boolean) {
        return value.valueOf();
      }
    }
    const result: Record<string, unknown> = Object.create(null);
    for (const [key, each] of Object.entries(value)) {
      result[key] = plain(
        each,
        `${path}${/^[a-z_$][\w$]*$/i.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`}`,
      );
    }
    return result;
  };
  return JSON.stringify(plain(value, ""));
}
