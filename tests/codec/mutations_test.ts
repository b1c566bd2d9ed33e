import assert from "node:assert/strict";
import process from "node:process";
import { encode } from "../../src/encoding/cbor/mod.ts";
import { CORPUS } from "./corpus.ts";
import { bytes, concat } from "./hex.ts";
import { assertUnpolluted, attempt, refuse } from "./hostile.ts";
import { Random } from "./prng.ts";
import { ACCEPTED } from "./vectors.ts";

const SEED = Number(process.env.CODEC_SEED ?? 7);
/** Bun and Node run the same code: fewer mutations show whether their built-ins differ. */
const MUTATIONS = process.versions.deno ? 200_000 : 25_000;

/** Longer messages are left out: they take long and contain no other kinds of bytes. */
const LARGEST = 4000;

const messages = [
  ...CORPUS.map(([, make]) => encode(make()).slice()),
  ...ACCEPTED.map(([, , digits]) => bytes(digits)),
].filter((message) => message.length <= LARGEST);

/** A change of a message at a random place. */
type Mutation = (message: Uint8Array, at: number, random: Random) => Uint8Array;

const INTERESTING = [
  0,
  1,
  0x17,
  0x1b,
  0x3b,
  0x40,
  0x5f,
  0x7f,
  0x80,
  0x9f,
  0xa0,
  0xbf,
  0xd8,
  0xf7,
  0xff,
];

const MUTATIONS_OF: readonly Mutation[] = [
  function flipBit(message, at, random) {
    const copy = message.slice();
    copy[at]! ^= 1 << random.below(8);
    return copy;
  },
  function setByte(message, at, random) {
    const copy = message.slice();
    copy[at] = random.below(2) === 0 ? random.below(256) : random.pick(INTERESTING);
    return copy;
  },
  function insert(message, at, random) {
    const added = Uint8Array.from({ length: 1 + random.below(4) }, () => random.below(256));
    return concat(message.subarray(0, at), added, message.subarray(at));
  },
  function remove(message, at, random) {
    return concat(message.subarray(0, at), message.subarray(at + 1 + random.below(4)));
  },
  function splice(message, at, random) {
    const other = random.pick(messages);
    const from = random.below(other.length);
    const part = other.subarray(from, from + 1 + random.below(24));
    return concat(message.subarray(0, at), part, message.subarray(at + random.below(24)));
  },
  function nest(message, at, random) {
    const other = random.pick(messages);
    return concat(message.subarray(0, at), other, message.subarray(at + 1));
  },
  function changeLength(message, at, random) {
    const copy = message.slice();
    for (let i = 0; i < 16 && (copy[at]! >> 5 === 0 || copy[at]! >> 5 > 5); i++) {
      at = random.below(copy.length); // looks for a head with a length
    }
    copy[at] = copy[at]! & 0xe0 | random.below(32);
    return copy;
  },
  function changeTag(message, at, random) {
    const tag = random.pick(["c0", "c1", "c2", "c3", "d81b", "d81c", "d81d00", "d90102", "d90103"]);
    return concat(message.subarray(0, at), tag, message.subarray(at));
  },
];

Deno.test(`${MUTATIONS} mutations of messages are rejected or make correct values, seed ${SEED}`, () => {
  const random = new Random(SEED);
  let accepted = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    let message: Uint8Array = random.pick(messages);
    for (let changes = random.below(3); changes >= 0; changes--) {
      message = random.pick(MUTATIONS_OF)(message, random.below(message.length + 1), random);
    }
    if (attempt(message) === undefined) accepted++;
  }
  assertUnpolluted();
  // Otherwise the mutations would be too drastic, or too mild, to find anything.
  assert.ok(accepted > MUTATIONS / 20 && accepted < MUTATIONS / 2, `${accepted} were accepted`);
});

Deno.test("a truncated message is rejected wherever it ends", () => {
  for (const message of messages) {
    for (let length = 0; length < message.length; length++) refuse(message.subarray(0, length));
  }
});

Deno.test("a message followed by any byte is rejected", () => {
  for (const message of messages) {
    for (const byte of [0, 0x80, 0xf6, 0xff]) {
      refuse(concat(message, Uint8Array.of(byte)), /trailing bytes/);
    }
  }
});

Deno.test("each of the 65,536 first pairs of bytes is rejected or makes a correct value, whatever follows", () => {
  const tails = [new Uint8Array(), new Uint8Array(20), new Uint8Array(20).fill(0xff)];
  for (let pair = 0; pair < 65_536; pair++) {
    const message = concat(Uint8Array.of(pair >> 8, pair), tails[pair % 3]!);
    attempt(message);
    if (pair < 256) tails.forEach((tail) => attempt(concat(Uint8Array.of(pair), tail)));
  }
  assertUnpolluted();
});
