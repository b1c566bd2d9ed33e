import assert from "node:assert/strict";
import { CodecError, decode, encode } from "../../src/encoding/cbor/mod.ts";
import { assertEquivalent } from "./equivalent.ts";
import { hex } from "./hex.ts";
import { objectsIn } from "./objects_in.ts";
import { cpuTime } from "../support/cpu_time.ts";

/** The time in milliseconds that decoding any message may take. */
const LIMIT = 100;

/** How often a slower decoding is retried, because the machine may have been busy. */
const RETRIES = 5;

/**
 * Decodes untrusted bytes.
 *
 * @returns the error; undefined if the bytes make a value, which is then correct: it can be encoded, and the result is
 * decoded as the same value
 * @throws {assert.AssertionError} on any other outcome
 */
export function attempt(input: Uint8Array): CodecError | undefined {
  const { error, value } = timed(input);
  if (error !== undefined) return error;
  try {
    assertLasting(value);
  } catch (cause) {
    const problem = `the value of ${printed(input)} does not survive a round trip: ${
      (cause as Error).message
    }`;
    throw new Error(problem, { cause });
  }
}

function assertLasting(value: unknown): void {
  const bytes = encode(value).slice();
  const again = decode(bytes);
  // A view of a part of a buffer, which other writers may send, loses the rest when it is encoded again.
  if ([...objectsIn(value)].some(ArrayBuffer.isView)) {
    assert.deepEqual(encode(again).slice(), bytes);
  } else assertEquivalent(again, value);
}

/** Decodes bytes that must not make a value. */
export function refuse(input: Uint8Array, problem: RegExp = / at byte \d+$/): void {
  const { error } = timed(input);
  assert.ok(error !== undefined, `${printed(input)} was accepted`);
  assert.match(error.message, problem);
}

interface Outcome {
  readonly error?: CodecError;
  readonly value?: unknown;
}

function timed(input: Uint8Array): Outcome {
  for (let retries = 0;; retries++) {
    const start = cpuTime();
    const outcome = decoded(input);
    const took = cpuTime() - start;
    if (took <= LIMIT) return outcome;
    assert.ok(retries < RETRIES, `decoding ${printed(input)} took ${Math.round(took)} ms`);
  }
}

function decoded(input: Uint8Array): Outcome {
  try {
    return { value: decode(input) };
  } catch (error) {
    if (error instanceof CodecError) return { error };
    throw new Error(`${printed(input)} gave ${error}`, { cause: error });
  }
}

function printed(input: Uint8Array): string {
  return `${hex(input.subarray(0, 60))} (${input.length} bytes)`;
}

/** All prototypes that a message could pollute. */
const PROTOTYPES: readonly object[] = [
  Object.prototype,
  Array.prototype,
  Map.prototype,
  Set.prototype,
  Error.prototype,
  Function.prototype,
  Uint8Array.prototype,
  Object.getPrototypeOf(Uint8Array.prototype),
  ArrayBuffer.prototype,
  Object,
  Array,
  Error,
];

const properties = () =>
  PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).map(String).join());
const unpolluted = properties();
const traceLimit = (Error as { stackTraceLimit?: number }).stackTraceLimit;

/** Asserts that no message so far has changed what all objects share. */
export function assertUnpolluted(): void {
  assert.deepEqual(properties(), unpolluted);
  assert.deepEqual(Reflect.ownKeys({}), []);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.equal((Error as { stackTraceLimit?: number }).stackTraceLimit, traceLimit);
}
