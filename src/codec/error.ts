import type { Arguments } from "./arguments.ts";
import type { Encoder } from "./encode.ts";
import { MAP } from "./format.ts";
import { getterOf } from "./intrinsics.ts";

const MEMORY_OF_ERROR = 2048;

const AGGREGATE = "AggregateError";

const CLASSES: ReadonlyMap<string, new () => Error> = new Map<string, new () => Error>([
  ["Error", Error],
  ["EvalError", EvalError],
  ["RangeError", RangeError],
  ["ReferenceError", ReferenceError],
  ["SyntaxError", SyntaxError],
  ["TypeError", TypeError],
  ["URIError", URIError],
  [
    "AggregateError",
    class {
      constructor() {
        return new AggregateError([]);
      }
    } as new () => Error,
  ],
]);

/** The names of the error classes. */
export const errorTypes: readonly string[] = [...CLASSES.keys()];

const domExceptionMessage = getterOf<string>(DOMException.prototype, "message");
const domExceptionName = getterOf<string>(DOMException.prototype, "name");

const { isError: isGenuine } = Error as { isError?: (value: unknown) => boolean };

export function isError(object: object): boolean {
  if (isGenuine !== undefined) return isGenuine(object);
  if (Symbol.toStringTag in object) return object instanceof Error;
  return Object.prototype.toString.call(object) === "[object Error]";
}

/** As `structuredClone` does: the name counts if it is that of a standard class, and of the properties the known ones. */
export function writeError(encoder: Encoder, object: object): void {
  const error = object as AggregateError;
  const type = typeOf(error);
  const properties = new Map<string, unknown>();
  if (encoder.options.stacks !== false && typeof error.stack === "string") {
    properties.set("stack", error.stack);
  }
  if (Object.hasOwn(error, "cause")) properties.set("cause", error.cause);
  if (type === AGGREGATE) properties.set("errors", error.errors);
  const message = Object.getOwnPropertyDescriptor(error, "message")?.value;
  encoder.generic(type, 2);
  encoder.value(message === undefined ? undefined : String(message));
  encoder.head(MAP, properties.size);
  for (const [key, value] of properties) {
    encoder.text(key);
    encoder.value(value);
  }
}

function typeOf(error: Error): string {
  const name = String(error.name);
  const isKnown = name === AGGREGATE ? Object.hasOwn(error, "errors") : CLASSES.has(name);
  return isKnown ? name : "Error";
}

export function readError(args: Arguments, type: string): Error {
  const { decoder } = args;
  decoder.spend(MEMORY_OF_ERROR);
  const error = withoutTrace(() => new (CLASSES.get(type)!)());
  args.made(error);
  const message = args.next() ? decoder.value() : undefined;
  if (message !== undefined) {
    if (typeof message !== "string") decoder.fail("an error's message that is not text");
    define(error, "message", message);
  }
  // Without one it would be that of this function.
  define(error, "stack", message === undefined ? type : `${type}: ${message}`);
  if (args.next()) decoder.entries((key) => readProperty(args, error, key));
  return error;
}

function readProperty({ decoder }: Arguments, error: Error, key: string): void {
  const value = decoder.value();
  if (key === "stack" && typeof value !== "string") {
    decoder.fail("an error's stack that is not text");
  }
  if (key === "stack" || key === "cause" || key === "errors") define(error, key, value);
  else decoder.fail("an error with an unknown property");
}

export function isDOMException(object: object): boolean {
  return object instanceof DOMException;
}

export function writeDOMException(encoder: Encoder, object: object): void {
  encoder.generic("DOMException", 2);
  encoder.text(domExceptionMessage(object));
  encoder.text(domExceptionName(object));
}

export function readDOMException(args: Arguments): DOMException {
  args.decoder.spend(MEMORY_OF_ERROR);
  const message = args.required.expectText();
  const name = args.required.expectText();
  return withoutTrace(() => new DOMException(message, name));
}

/** Collecting a stack trace costs 2 µs, and tells of nothing but this codec. */
function withoutTrace<T>(make: () => T): T {
  const limited = Error as { stackTraceLimit?: number };
  const limit = limited.stackTraceLimit;
  try {
    limited.stackTraceLimit = 0;
    return make();
  } finally {
    limited.stackTraceLimit = limit!;
  }
}

function define(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, {
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}
