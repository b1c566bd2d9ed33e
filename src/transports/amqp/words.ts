/**
 * What the users of an unbuffered channel say to each other; ARCHITECTURE.md, "Capacity", has the protocol.
 *
 * - `hello`: values are waited for here, since a moment; who has asked before asks again.
 * - `ask`: so many values (`number`) wait here.
 * - `grant`: a value may be sent, under this number of the speaker's.
 * - `no`: the hearer's grant of this number (0: none) is not needed, and no more are.
 * - `taken`: the value that was sent by the hearer's grant of this number has been taken, or never will be sent.
 * - `revoke`: the speaker's grant of this number has lost its get; where it is unused, `taken` answers.
 */
export interface Word {
  readonly kind: "hello" | "ask" | "grant" | "no" | "taken" | "revoke";
  readonly number: number;
}

/** The content type of a word; whoever does not know it takes it for a broadcast that cannot be decoded. */
export const wordType = "application/vnd.channelts.rendezvous";

export function encodeWord({ kind, number }: Word): Uint8Array {
  return new TextEncoder().encode(`${kind} ${number}`);
}

/** Undefined for what is none. */
export function decodeWord(body: Uint8Array): Word | undefined {
  const match = /^(hello|ask|grant|no|taken|revoke) (\d{1,15})$/.exec(
    new TextDecoder().decode(body),
  );
  return match === null ? undefined : { kind: match[1] as Word["kind"], number: Number(match[2]) };
}

/** Whose grant it is, and which. */
export interface Grant {
  readonly granter: string;
  readonly number: number;
}

/** As a message carries it that was sent by it. */
export function encodeGrant({ granter, number }: Grant): string {
  return `${granter} ${number}`;
}

/** Undefined for what is none. */
export function decodeGrant(text: unknown): Grant | undefined {
  const match = typeof text === "string" ? /^(.+) (\d{1,15})$/.exec(text) : null;
  return match === null || !isSpeaker(match[1]!)
    ? undefined
    : { granter: match[1]!, number: Number(match[2]) };
}

/** Whether the name may be that of a bulletin: nobody is made to write into anything else. */
export function isSpeaker(name: string): boolean {
  return name.startsWith("amq.gen-") && name.length <= 255;
}
