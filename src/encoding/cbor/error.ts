import type { Encoder } from "./encode.ts";
import { isRecord } from "./property.ts";
import type { GenericReader } from "./types.ts";

const MEMORY_OF_ERROR = 2048;

const AGGREGATE = "AggregateError";

/** The names of the standard classes of errors. */
export const errorTypes: readonly string[] = [
  "Error",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  AGGREGATE,
];

const { isError: isGenuine } = Error as { isError?: (value: unknown) => boolean };

export function isError(object: object): boolean {
  if (isGenuine !== undefined) return isGenuine(object);
  if (Symbol.toStringTag in object) return object instanceof Error;
  return Object.prototype.toString.call(object) === "[object Error]";
}

/** Writes what `structuredClone` copies of an error: the name of a standard class, and the standard properties. */
export function writeError(encoder: Encoder, object: object): void {
  const error = object as AggregateError;
  const type = typeOf(error);
  const message = Object.getOwnPropertyDescriptor(error, "message")?.value;
  const properties: Record<string, unknown> = {};
  const { stack } = error;
  if (encoder.options.stacks !== false && typeof stack === "string") properties.stack = stack;
  if (Object.hasOwn(error, "cause")) properties.cause = error.cause;
  if (type === AGGREGATE) properties.errors = error.errors;
  encoder.generic(type, 2);
  encoder.value(message === undefined ? undefined : String(message));
  encoder.part(properties);
}

function typeOf(error: Error): string {
  const name = String(error.name);
  const isKnown = errorTypes.includes(name) &&
    (name !== AGGREGATE || Object.hasOwn(error, "errors"));
  return isKnown ? name : "Error";
}

export const error: GenericReader = {
  most: 2,
  make: (decoder, type) => {
    decoder.spend(MEMORY_OF_ERROR);
    const classes = globalThis as unknown as Record<string, new (errors?: unknown[]) => Error>;
    return withoutTrace(() => type === AGGREGATE ? new classes[type]!([]) : new classes[type]!());
  },
  read: (_decoder, [message, properties = {}], type, made) => {
    if (!isRecord(properties)) return undefined;
    // Without a stack in the message, the error would keep the stack of this function.
    const stack = message === undefined ? type : `${type}: ${message}`;
    const all = { ...message === undefined ? {} : { message }, stack, ...properties };
    for (const [key, value] of Object.entries(all)) {
      const isText = key === "message" || key === "stack";
      if (isText ? typeof value !== "string" : key !== "cause" && key !== "errors") {
        return undefined;
      }
      Object.defineProperty(made, key, {
        value,
        writable: true,
        enumerable: false,
        configurable: true,
      });
    }
    return made;
  },
};

export function isDOMException(object: object): boolean {
  return object instanceof DOMException;
}

export function writeDOMException(encoder: Encoder, object: object): void {
  const { message, name } = object as DOMException;
  encoder.generic("DOMException", 2);
  encoder.value(message);
  encoder.value(name);
}

export const domException: GenericReader = {
  most: 2,
  read: (decoder, [message, name]) => {
    decoder.spend(MEMORY_OF_ERROR);
    if (typeof message !== "string" || typeof name !== "string") return undefined;
    return withoutTrace(() => new DOMException(message, name));
  },
};

/** Creates an error without a stack trace: collecting one takes 2 µs, and it would only show this codec. */
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
