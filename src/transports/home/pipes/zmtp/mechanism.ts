import type { MechanismName } from "./greeting.ts";
import type { Properties } from "./commands.ts";

/** The security mechanism of one connection, from the point of view of one end. */
export interface Mechanism {
  readonly name: MechanismName;
  readonly isServer: boolean;
  /** Returns the command that this end sends first, after the greetings; undefined if the other end begins. */
  begin(): Uint8Array | undefined;
  /**
   * Handles a command of the other end.
   *
   * @throws {ZmtpError} if the command is not acceptable
   */
  receive(name: string, body: Uint8Array): Step;
}

/** What follows from a command. */
export interface Step {
  /** The command to send. */
  readonly reply?: Uint8Array;
  /** What is known when the handshake is over. */
  readonly outcome?: Outcome;
}

/** The result of a handshake. */
export interface Outcome {
  /** What the other end says of itself. */
  readonly properties: Properties;
  /** The public key that the other end has proved to own, in base64url. */
  readonly key?: string;
  /** The user name whose password was right. */
  readonly username?: string;
  /** Seals and opens the frames from now on; absent if they are sent as they are. */
  readonly cipher?: Cipher;
}

/** The encryption of frames. */
export interface Cipher {
  /**
   * Returns the content of a frame that carries flags and parts of a text, in two parts.
   */
  seal(flags: number, ...parts: readonly Uint8Array[]): [head: Uint8Array, box: Uint8Array];
  /**
   * Returns the flags and the text of a received frame.
   *
   * @throws {ZmtpError} if it is not authentic
   */
  open(frame: Uint8Array): { readonly flags: number; readonly content: Uint8Array };
}
