import { readProperties, writeCommand, writeProperties } from "./commands.ts";
import type { Mechanism, Step } from "./mechanism.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** The mechanism without security: each end sends READY with its properties. */
export class NullMechanism implements Mechanism {
  readonly name = "NULL";
  readonly isServer = false; // there are no roles
  readonly #socketType: string;

  constructor(socketType: string) {
    this.#socketType = socketType;
  }

  begin(): Uint8Array {
    return writeCommand("READY", writeProperties(this.#socketType));
  }

  receive(name: string, body: Uint8Array): Step {
    if (name !== "READY") throw new ZmtpError(`the command ${name} came in place of READY`);
    return { outcome: { properties: readProperties(body) } };
  }
}
