import { ZmtpError } from "./zmtp_error.ts";

/** A command of ZMTP: a name, and a body that depends on it. */
export interface Command {
  readonly name: string;
  readonly body: Uint8Array;
}

/** The properties that an end sends in the handshake, by their names in lower case. */
export type Properties = ReadonlyMap<string, Uint8Array>;

const encoder = new TextEncoder();

/** Returns the bytes of a text in UTF-8. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Returns the bytes as text if they are printable ASCII, shortened; what another end says is not trusted. */
export function printable(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 100)).replace(/[^ -~]/g, "?");
}

/** Returns the parts one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns a byte with the length, and the bytes. */
export function shortString(bytes: Uint8Array): Uint8Array {
  return concat(new Uint8Array([bytes.length]), bytes);
}

/** Reads what {@linkcode shortString} has written, from a position. @throws {ZmtpError} if it is cut off */
export function readShort(bytes: Uint8Array, at: number): Uint8Array {
  const size = bytes[at];
  if (size === undefined || at + 1 + size > bytes.length) throw cutOff();
  return bytes.subarray(at + 1, at + 1 + size);
}

/** Returns the bytes of a command. */
export function writeCommand(name: string, ...body: readonly Uint8Array[]): Uint8Array {
  return concat(shortString(bytesOf(name)), ...body);
}

/** Reads a command. @throws {ZmtpError} if it has no name */
export function readCommand(bytes: Uint8Array): Command {
  // With PLAIN, libzmq 4.3 writes the ERROR command so, since C reads "\x5ERROR" as a character and RROR.
  if (printable(bytes.subarray(0, 5)) === "^RROR") {
    return { name: "ERROR", body: bytes.subarray(5) };
  }
  const name = readShort(bytes, 0);
  return { name: printable(name), body: bytes.subarray(1 + name.length) };
}

/** Returns the properties of a socket of a type. */
export function writeProperties(socketType: string): Uint8Array {
  return concat(
    property("Socket-Type", bytesOf(socketType)),
    property("Identity", new Uint8Array(0)),
  );
}

function property(name: string, value: Uint8Array): Uint8Array {
  return concat(shortString(bytesOf(name)), new Uint8Array([0, 0, 0, value.length]), value);
}

/** Reads properties. @throws {ZmtpError} if they are cut off */
export function readProperties(bytes: Uint8Array): Properties {
  const properties = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length;) {
    const name = readShort(bytes, at);
    at += 1 + name.length;
    if (at + 4 > bytes.length) throw cutOff();
    const size = bytes[at]! * 2 ** 24 + (bytes[at + 1]! << 16) + (bytes[at + 2]! << 8) +
      bytes[at + 3]!;
    at += 4;
    if (at + size > bytes.length) throw cutOff();
    properties.set(printable(name).toLowerCase(), bytes.subarray(at, at + size));
    at += size;
  }
  return properties;
}

/** Reads the reason of an ERROR command. */
export function readReason(body: Uint8Array): string {
  return printable(readShort(body, 0));
}

/** Reports whether two byte strings are equal, in a time that does not depend on where they differ. */
export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let i = 0; i < one.length; i++) difference |= one[i]! ^ (other[i] ?? 0);
  return difference === 0;
}

function cutOff(): ZmtpError {
  return new ZmtpError("a command is cut off");
}
