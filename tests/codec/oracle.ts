import { objectsIn } from "./objects_in.ts";

/**
 * Returns the native `structuredClone` of a value with the parts that engines lose: V8 and JavaScriptCore clone an
 * AggregateError as an Error without its `errors`, and JavaScriptCore clones Errors without their `cause`. The HTML
 * standard leaves both to the engine; the codec carries them.
 */
export function nativeClone(value: unknown): unknown {
  const errors = [...objectsIn(value)].filter((object) => object instanceof Error);
  // Cloned together with the value, so that shared objects stay shared.
  const lost = errors.map((error) => ({
    error,
    hasCause: Object.hasOwn(error, "cause"),
    cause: error.cause,
    errors: error instanceof AggregateError ? error.errors : undefined,
  }));
  const [clone, found] = structuredClone([value, lost] as const);
  for (const { error, hasCause, cause, errors } of found) {
    if (hasCause) hide(error, "cause", cause);
    if (errors === undefined) continue;
    Object.setPrototypeOf(error, AggregateError.prototype);
    hide(error, "errors", errors);
  }
  return clone;
}

function hide(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, configurable: true });
}
