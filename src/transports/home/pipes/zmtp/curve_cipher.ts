import { bytesOf, concat } from "./commands.ts";
import { opened, seal, tagSize } from "./curve_box.ts";
import { commandFlag, moreFlag } from "./frame_splitter.ts";
import type { Cipher } from "./mechanism.ts";
import { ZmtpError } from "./zmtp_error.ts";

/**
 * Seals each frame in a MESSAGE command: the name, a counter of 8 bytes, and a box of the flags and the content.
 *
 * Invariants: no counter is used twice with a key. A received counter is larger than the one before.
 */
export class CurveCipher implements Cipher {
  readonly #key: Uint8Array;
  readonly #sealing: Uint8Array;
  readonly #opening: Uint8Array;
  readonly #sealingView: DataView;
  #count: number;
  #lastCount = 0;
  readonly #flags = new Uint8Array(1);

  /** @param count the last counter that this end has used */
  constructor(key: Uint8Array, isServer: boolean, count: number) {
    this.#key = key;
    this.#count = count;
    this.#sealing = prefix(isServer ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC");
    this.#opening = prefix(isServer ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES");
    this.#sealingView = new DataView(this.#sealing.buffer);
  }

  seal(flags: number, ...parts: readonly Uint8Array[]): [head: Uint8Array, box: Uint8Array] {
    const count = ++this.#count;
    this.#sealingView.setUint32(16, Math.floor(count / 2 ** 32));
    this.#sealingView.setUint32(20, count >>> 0);
    this.#flags[0] = (flags & commandFlag) === 0 ? flags : sealedCommand;
    const box = seal(this.#key, this.#sealing, this.#flags, ...parts);
    return [concat(messageName, this.#sealing.subarray(16)), box];
  }

  open(frame: Uint8Array): { readonly flags: number; readonly content: Uint8Array } {
    if (
      frame.length < headSize + tagSize + 1 || !messageName.every((byte, i) => frame[i] === byte)
    ) {
      throw new ZmtpError("a frame is not encrypted");
    }
    const view = new DataView(frame.buffer, frame.byteOffset);
    const count = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
    if (count <= this.#lastCount) throw new ZmtpError("a frame has arrived twice");
    this.#lastCount = count;
    this.#opening.set(frame.subarray(8, headSize), 16);
    const plain = opened(this.#key, this.#opening, frame.subarray(headSize));
    if (plain === undefined) throw new ZmtpError("a frame is not authentic");
    const flags = plain[0]!;
    return {
      flags: (flags & sealedCommand) === 0 ? flags & moreFlag : commandFlag,
      content: plain.subarray(1),
    };
  }
}

/** The flag of a command in a box; `moreFlag` is the same there as in frames. */
const sealedCommand = 2;

const messageName = bytesOf("\x07MESSAGE");

/** The size of the name and the counter. */
const headSize = 16;

function prefix(text: string): Uint8Array {
  const nonce = new Uint8Array(24);
  nonce.set(bytesOf(text));
  return nonce;
}
