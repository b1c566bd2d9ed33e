/**
 * Errors on their way from a handler to its requester. An error travels as plain values, so that both encodings carry
 * it, and in parts, so that a part that cannot be encoded does not prevent the others.
 *
 * Nothing that was thrown is trusted, and nothing that arrives: a getter may throw, an error may contain itself, and no
 * part that arrives replaces a property that every error has.
 *
 * @module
 */

/** An error as it travels. */
export interface ErrorData {
  readonly name: string;
  readonly message: string;
  /** The name of its built-in class; absent if that is `name`. */
  readonly type?: string;
  /** Its own enumerable properties. */
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly stack?: string;
  readonly cause?: PartData;
  /** The errors of an AggregateError. */
  readonly errors?: readonly PartData[];
}

/** A part of an error: another error, or any other value. */
type PartData = { readonly error: ErrorData } | { readonly value: unknown };

/** The options of {@linkcode errorToData}. */
export interface ErrorDataOptions {
  /** Whether stacks are included. */
  readonly stacks: boolean;
  /** Returns the encoded size of a value in bytes; undefined if the value cannot be encoded. */
  sizeOf(value: unknown): number | undefined;
}

/** Returns a thrown value as it travels. Never throws, and limits the size of a hostile or huge error. */
export function errorToData(thrown: unknown, options: ErrorDataOptions): ErrorData {
  return new ErrorReader(options).read(thrown);
}

/** Returns only the name and the message, which can always be encoded. */
export function errorToBriefData(thrown: unknown): ErrorData {
  try {
    if (thrown instanceof Error) {
      return { name: textOf(() => thrown.name), message: textOf(() => thrown.message) };
    }
    const isObject = typeof thrown === "object" && thrown !== null || typeof thrown === "function";
    return { name: "Error", message: isObject ? "an object" : String(thrown) };
  } catch {
    return { name: "Error", message: undescribed };
  }
}

/** Returns the same data, shortened so that no broker refuses its size. */
export function shortened({ name, message }: ErrorData): ErrorData {
  return { name: name.slice(0, longestName), message: `${message.slice(0, longestMessage)}…` };
}

/** Characters. */
const longestName = 100;
const longestMessage = 1000;

class ErrorReader {
  readonly #options: ErrorDataOptions;
  /** The errors that were read, so that one which contains itself ends. */
  readonly #visited = new Set<unknown>();
  /** The bytes that are left for properties, causes and stacks. */
  #bytesLeft = mostBytes;

  constructor(options: ErrorDataOptions) {
    this.#options = options;
  }

  read(thrown: unknown): ErrorData {
    this.#visited.add(thrown);
    const brief = errorToBriefData(thrown);
    if (!isError(thrown)) {
      const cause = this.#part(() => thrown);
      return cause === undefined ? brief : { ...brief, cause };
    }
    const type = typeOf(thrown);
    const stack = this.#stackOf(thrown);
    const cause = this.#part(() => thrown.cause, () => Object.hasOwn(thrown, "cause"));
    const errors = type === "AggregateError" ? this.#errorsOf(thrown as AggregateError) : undefined;
    const properties = this.#propertiesOf(thrown);
    return {
      ...brief,
      ...type === undefined || type === brief.name ? {} : { type },
      ...stack === undefined ? {} : { stack },
      ...cause === undefined ? {} : { cause },
      ...errors === undefined ? {} : { errors },
      ...properties === undefined ? {} : { properties },
    };
  }

  #part(get: () => unknown, exists = () => true): PartData | undefined {
    try {
      if (!exists()) return undefined;
      const value = get();
      if (isError(value)) {
        return this.#visited.has(value) || this.#visited.size >= mostErrors
          ? undefined
          : { error: this.read(value) };
      }
      return this.#fits(value) ? { value } : undefined;
    } catch {
      return undefined; // a part that cannot be read is left out
    }
  }

  #errorsOf(error: AggregateError): PartData[] {
    const parts: PartData[] = [];
    try {
      for (const each of error.errors) {
        const part = this.#part(() => each);
        if (part !== undefined) parts.push(part);
        if (parts.length === mostErrors) break;
      }
    } catch {
      // the parts that were read travel
    }
    return parts;
  }

  #propertiesOf(error: Error): Record<string, unknown> | undefined {
    const entries: [string, unknown][] = [];
    try {
      for (const key of Object.keys(error)) {
        if (isReserved(key) || entries.length === mostProperties) continue;
        try {
          const value = (error as unknown as Record<string, unknown>)[key];
          if (this.#fits({ [key]: value })) entries.push([key, value]);
        } catch {
          // a property whose getter throws is left out
        }
      }
    } catch {
      // a proxy that refuses to list its keys has no properties
    }
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  }

  #stackOf(error: Error): string | undefined {
    if (!this.#options.stacks) return undefined;
    try {
      const { stack } = error;
      return typeof stack === "string" && this.#fits(stack) ? stack : undefined;
    } catch {
      return undefined;
    }
  }

  #fits(value: unknown): boolean {
    const size = this.#options.sizeOf(value);
    if (size === undefined || size > this.#bytesLeft) return false;
    this.#bytesLeft -= size;
    return true;
  }
}

/** Returns the error that the requester is given; undefined if `data` is no error. The data is untrusted. */
export function errorFromData(data: unknown, depth = 0): Error | undefined {
  if (!isRecord(data)) return undefined;
  const { name, message, type = name, properties, stack, cause, errors } = data;
  if (typeof name !== "string" || typeof message !== "string") return undefined;
  // A requester must not mistake an error of the handler's channels for one of its own.
  const ownName = libraryNames.test(name) ? "Error" : name;
  const error = newError(type, message, ownName);
  const set = (key: string, value: unknown, enumerable = false) =>
    Object.defineProperty(error, key, { value, enumerable, configurable: true, writable: true });
  if (error.name !== ownName) set("name", ownName);
  set("stack", typeof stack === "string" ? stack : titleOf(error)); // not the stack of this function
  const part = readPart(cause, depth);
  if (part !== undefined) set("cause", part.value);
  if (error instanceof AggregateError) {
    const parts = Array.isArray(errors) ? errors.map((each) => readPart(each, depth)) : [];
    set("errors", parts.filter((each) => each !== undefined).map(({ value }) => value));
  }
  if (isRecord(properties)) {
    for (const key of Object.keys(properties)) {
      if (!isReserved(key)) set(key, properties[key], true);
    }
  }
  return error;
}

/** Reports whether an error that has arrived brought its stack. */
export function hasStack(error: Error): boolean {
  return error.stack !== titleOf(error);
}

/** Returns the first line of an error's stack. */
function titleOf({ name, message }: Error): string {
  return `${name}: ${message}`;
}

function readPart(part: unknown, depth: number): { readonly value: unknown } | undefined {
  if (!isRecord(part)) return undefined;
  if (!Object.hasOwn(part, "error")) {
    return Object.hasOwn(part, "value") ? { value: part.value } : undefined;
  }
  const error = depth < mostNesting ? errorFromData(part.error, depth + 1) : undefined;
  return error && { value: error };
}

function newError(type: unknown, message: string, name: string): Error {
  if (type === "AggregateError") return new AggregateError([], message);
  if (type === "DOMException") return new DOMException(message, name);
  const Class = typeof type === "string" ? classes.get(type) : undefined;
  return new (Class ?? Error)(message);
}

/** The built-in error classes whose constructors take only a message. */
const classes: ReadonlyMap<string, new (message: string) => Error> = new Map(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]
    .map((Class) => [Class.name, Class]),
);

function typeOf(error: Error): string | undefined {
  if (error instanceof AggregateError) return "AggregateError";
  if (error instanceof DOMException) return "DOMException";
  for (const [name, Class] of classes) if (error instanceof Class) return name;
}

/** Reports whether a property is one that every error has, or that travels as a part of its own. */
function isReserved(key: string): boolean {
  return key in Error.prototype || parts.has(key);
}

const parts: ReadonlySet<string> = new Set(["stack", "cause", "errors"]);

const libraryNames = /^Channel[A-Za-z]*Error$/;

function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false; // a revoked proxy
  }
}

function textOf(get: () => unknown): string {
  try {
    return String(get());
  } catch {
    return undescribed;
  }
}

/** Reports whether a value is an object, whose properties can be read. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

const undescribed = "an error that cannot be described";

/** The bytes that the properties, causes and stacks of an error and of its causes take together. */
const mostBytes = 256 * 1024;

/** The number of errors that travel in one, and of properties of each. */
const mostErrors = 100;
const mostProperties = 100;

/** The depth to which errors are nested. */
const mostNesting = mostErrors;
