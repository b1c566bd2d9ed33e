import {
  bytesOf,
  readProperties,
  readShort,
  shortString,
  writeCommand,
  writeProperties,
} from "./commands.ts";
import type { Mechanism, Step } from "./mechanism.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** The client's end of PLAIN: a user name and a password, which are not encrypted (https://rfc.zeromq.org/spec/24/). */
export class PlainClient implements Mechanism {
  readonly name = "PLAIN";
  readonly isServer = false;
  readonly #username: string;
  readonly #password: string;
  #expected = "WELCOME";

  constructor(username: string, password: string) {
    this.#username = username;
    this.#password = password;
  }

  begin(): Uint8Array {
    const parts = [this.#username, this.#password].map((text) => shortString(bytesOf(text)));
    return writeCommand("HELLO", ...parts);
  }

  receive(name: string, body: Uint8Array): Step {
    if (name !== this.#expected) throw outOfOrder(name, this.#expected);
    if (name === "READY") return { outcome: { properties: readProperties(body) } };
    this.#expected = "READY";
    return { reply: writeCommand("INITIATE", writeProperties("DEALER")) };
  }
}

/** The server's end of PLAIN. */
export class PlainServer implements Mechanism {
  readonly name = "PLAIN";
  readonly isServer = true;
  readonly #accepts: (username: string, password: Uint8Array) => boolean;
  #username: string | undefined;

  /** @param accepts reports whether the password of a user is right */
  constructor(accepts: (username: string, password: Uint8Array) => boolean) {
    this.#accepts = accepts;
  }

  begin(): undefined {}

  receive(name: string, body: Uint8Array): Step {
    const expected = this.#username === undefined ? "HELLO" : "INITIATE";
    if (name !== expected) throw outOfOrder(name, expected);
    if (this.#username !== undefined) {
      return {
        reply: writeCommand("READY", writeProperties("ROUTER")),
        outcome: { properties: readProperties(body), username: this.#username },
      };
    }
    const bytes = readShort(body, 0);
    const password = readShort(body, 1 + bytes.length);
    const username = new TextDecoder().decode(bytes);
    if (!this.#accepts(username, password)) {
      throw new ZmtpError("the user name or the password is wrong", {
        told: "400",
        isRefusal: true,
      });
    }
    this.#username = username;
    return { reply: writeCommand("WELCOME") };
  }
}

function outOfOrder(name: string, expected: string): ZmtpError {
  return new ZmtpError(`the command ${name} came in place of ${expected}`);
}
