// Reports the bytes of the corpus as this runtime writes it. Of bytes that it receives, it reports those that are not
// decoded as their value.
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { CORPUS } from "../codec/corpus.ts";
import { assertEquivalent } from "../codec/equivalent.ts";
import { bytes, hex } from "../codec/hex.ts";
import { messages, send } from "../support/child_side.ts";

/** The bytes of each value of {@linkcode CORPUS}, as hexadecimal digits. */
export type Written = string[];

/** How many values were decoded correctly, and the errors of the others. */
export interface Arrival {
  right: number;
  wrong: string[];
}

const written: Written = CORPUS.map(([, make]) => hex(encode(make())));
send(written);
for await (const message of messages()) send(arrival(message as Written));

function arrival(received: Written): Arrival {
  const outcome: Arrival = { right: 0, wrong: [] };
  for (const [i, [what, make]] of CORPUS.entries()) {
    try {
      assertEquivalent(decode(bytes(received[i]!)), make());
      outcome.right++;
    } catch (error) {
      outcome.wrong.push(`${what}: ${(error as Error).message}`);
    }
  }
  return outcome;
}
