/**
 * What the users of an unbuffered channel say to each other; ARCHITECTURE.md, "Capacity", has the protocol.
 *
 * - `hello`: values are waited for here, since a moment; who has asked before asks again.
 * - `ask`: values wait here, `wanted` of them. Of the hearer's grants up to `number`, none is needed any more.
 * - `grant`: a value may be sent. Its `number` is higher than that of each earlier one.
 * - `no`: as `ask`, where no values wait.
 */
export interface Word {
  readonly kind: "hello" | "ask" | "grant" | "no";
  readonly number: number;
  readonly wanted: number;
}

/** The content type of a word; whoever does not know it takes it for a broadcast that cannot be decoded. */
export const wordType = "application/vnd.channelts.rendezvous";

export function encodeWord({ kind, number, wanted }: Word): Uint8Array {
  return new TextEncoder().encode(`${kind} ${number} ${wanted}`);
}

/** Undefined for what is none. */
export function decodeWord(body: Uint8Array): Word | undefined {
  const match = /^(hello|ask|grant|no) (\d{1,15}) (\d{1,15})$/.exec(new TextDecoder().decode(body));
  if (match === null) return undefined;
  const [, kind, number, wanted] = match;
  return { kind: kind as Word["kind"], number: Number(number), wanted: Number(wanted) };
}
