import { ZmtpError } from "./zmtp_error.ts";

/** The security mechanisms of ZMTP. */
export type MechanismName = "NULL" | "PLAIN" | "CURVE";

/** What an end says of itself in the first 64 bytes. */
export interface Greeting {
  readonly mechanism: string;
  /** The minor version of ZMTP 3. */
  readonly minor: number;
}

/** The text of the error for bytes that are no greeting. */
export const notZmtp = "the other end does not speak ZMTP";

/** The number of bytes of a greeting. */
export const greetingSize = 64;

/** Returns the greeting of ZMTP 3.1 (https://rfc.zeromq.org/spec/37/). */
export function writeGreeting(mechanism: MechanismName, isServer: boolean): Uint8Array {
  const bytes = new Uint8Array(greetingSize);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes[11] = 1;
  for (let i = 0; i < mechanism.length; i++) bytes[12 + i] = mechanism.charCodeAt(i);
  bytes[32] = isServer ? 1 : 0;
  return bytes;
}

/**
 * Checks the bytes of a greeting that have arrived so far: a server of another protocol may send few and wait.
 *
 * @throws {ZmtpError} if they are not the beginning of a greeting of ZMTP 3
 */
export function checkGreeting(bytes: Uint8Array): void {
  if (bytes.length > 0 && bytes[0] !== 0xff || bytes.length > 9 && (bytes[9]! & 1) === 0) {
    throw new ZmtpError(notZmtp);
  }
  if (bytes.length > 10 && bytes[10]! < 3) {
    throw new ZmtpError("the other end speaks an old version of ZMTP, and 3.0 or 3.1 is needed");
  }
}

/** Reads a greeting. @throws {ZmtpError} if it is none of ZMTP 3 */
export function readGreeting(bytes: Uint8Array): Greeting {
  checkGreeting(bytes);
  let mechanism = "";
  for (let i = 12; i < 32 && bytes[i] !== 0; i++) mechanism += String.fromCharCode(bytes[i]!);
  if (!/^[A-Z\d_.+-]{1,20}$/.test(mechanism)) {
    throw new ZmtpError("the other end names no security mechanism");
  }
  // The role is not read: libzmq says that it is no server even if it is one.
  return { mechanism, minor: bytes[10] === 3 ? bytes[11]! : 1 };
}
