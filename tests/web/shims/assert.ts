// The part of `node:assert/strict` that the conformance suite uses, for runtimes that lack it.

class AssertionError extends Error {
  override readonly name = "AssertionError";
}

type Expected = RegExp | (new (...args: never[]) => Error) | ((error: unknown) => unknown) | object;

function fail(message = "failed"): never {
  throw new AssertionError(message);
}

function ok(value: unknown, message = `${show(value)} is not true`): asserts value {
  if (!value) fail(message);
}

function equal(actual: unknown, expected: unknown, message = ""): void {
  if (!Object.is(actual, expected)) fail(`${message} ${show(actual)} is not ${show(expected)}`);
}

function notEqual(actual: unknown, expected: unknown, message = ""): void {
  if (Object.is(actual, expected)) fail(`${message} ${show(actual)}`);
}

function deepEqual(actual: unknown, expected: unknown, message = ""): void {
  if (!isSame(actual, expected, new Map())) {
    fail(`${message} ${show(actual)} does not equal ${show(expected)}`);
  }
}

function match(text: string, pattern: RegExp, message = `${show(text)} is not ${pattern}`): void {
  if (!pattern.test(text)) fail(message);
}

function doesNotMatch(text: string, pattern: RegExp): void {
  if (pattern.test(text)) fail(`${show(text)} is ${pattern}`);
}

function throws(body: () => unknown, expected?: Expected): void {
  let error: unknown;
  try {
    body();
  } catch (thrown) {
    return expect(thrown, expected);
  }
  fail(`nothing was thrown ${error}`);
}

async function rejects(promise: Promise<unknown>, expected?: Expected): Promise<void> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return expect(error, expected);
  }
  fail(`it resolved with ${show(value)}`);
}

function expect(error: unknown, expected: Expected | undefined): void {
  if (expected === undefined) return;
  if (expected instanceof RegExp) return match(String(error), expected);
  if (typeof expected === "function") {
    const isClass = expected === Error || expected.prototype instanceof Error;
    if (isClass ? error instanceof expected : (expected as (error: unknown) => unknown)(error)) {
      return;
    }
    throw error;
  }
  for (const [key, value] of Object.entries(expected)) {
    const actual = (error as Record<string, unknown>)[key];
    if (value instanceof RegExp) match(String(actual), value);
    else deepEqual(actual, value, key);
  }
}

/** @param met the pairs that are being compared: in a cycle they count as equal */
function isSame(a: unknown, b: unknown, met: Map<unknown, unknown>): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (met.get(a) === b) return true;
  met.set(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const same = (a: unknown, b: unknown) => isSame(a, b, met);
  if (a instanceof Date || a instanceof Number || a instanceof String || a instanceof Boolean) {
    if (!Object.is(a.valueOf(), b.valueOf())) return false;
  }
  if (a instanceof RegExp && String(a) !== String(b)) return false;
  if (a instanceof ArrayBuffer) return same(new Uint8Array(a), new Uint8Array(b as ArrayBuffer));
  if (a instanceof Set) return same([...a], [...b as Set<unknown>]); // in the same order
  if (a instanceof Map) return same([...a], [...b as Map<unknown, unknown>]);
  if (a instanceof Error) {
    const other = b as Error;
    if (a.message !== other.message || a.name !== other.name || !same(a.cause, other.cause)) {
      return false;
    }
  }
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  const keys = ownKeys(a);
  if (keys.length !== ownKeys(b).length) return false;
  return keys.every((key) =>
    Object.hasOwn(b, key) && same(a[key as keyof object], b[key as keyof object])
  );
}

function ownKeys(object: object): PropertyKey[] {
  return Reflect.ownKeys(object).filter((key) =>
    Object.prototype.propertyIsEnumerable.call(object, key)
  );
}

function show(value: unknown): string {
  try {
    return value instanceof Error
      ? String(value)
      : JSON.stringify(value, (_, each) => typeof each === "bigint" ? `${each}n` : each) ??
        String(value);
  } catch {
    return String(value);
  }
}

interface Assert {
  AssertionError: typeof AssertionError;
  fail: typeof fail;
  ok: (value: unknown, message?: string) => asserts value;
  equal: typeof equal;
  notEqual: typeof notEqual;
  deepEqual: typeof deepEqual;
  deepStrictEqual: typeof deepEqual;
  match: typeof match;
  doesNotMatch: typeof doesNotMatch;
  throws: typeof throws;
  rejects: typeof rejects;
}

const assert: Assert = {
  AssertionError,
  fail,
  ok,
  equal,
  notEqual,
  deepEqual,
  deepStrictEqual: deepEqual,
  match,
  doesNotMatch,
  throws,
  rejects,
};
export default assert;
