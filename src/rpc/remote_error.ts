/**
 * How an error travels from a handler to its requester: as plain values, so that both encodings carry it, and
 * in parts, so that one part that cannot travel does not hold up the others.
 *
 * Nothing of what was thrown is trusted, nor of what arrives: a getter may throw, an error may contain
 * itself, and no part that arrives replaces what every error has.
 *
 * @module
 */

/** An error as it travels. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  /** The built-in class that it is of; absent: the one of its name, else Error. */
  readonly type?: string;
  /** Its own enumerable properties. */
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly stack?: string;
  readonly cause?: Part;
  /** Those of an AggregateError. */
  readonly errors?: readonly Part[];
}

/** Something that an error has: another error, or any other value. */
type Part = { readonly error: Failure } | { readonly value: unknown };

/** How a failure is written. */
export interface FailureOptions {
  /** Whether stacks travel. */
  readonly stacks: boolean;
  /** The bytes that a value takes as it travels; undefined where it cannot. */
  sizeOf(value: unknown): number | undefined;
}

/** What was thrown, as it travels: always, and never all that a hostile or huge error has. */
export function writeFailure(thrown: unknown, options: FailureOptions): Failure {
  return new Writer(options).write(thrown);
}

/** No more than a name and a message, which travel always. */
export function writeBriefly(thrown: unknown): Failure {
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

/** The same, so short that no broker refuses it. */
export function shortened({ name, message }: Failure): Failure {
  return { name: name.slice(0, longestName), message: `${message.slice(0, longestMessage)}…` };
}

/** Characters. */
const longestName = 100;
const longestMessage = 1000;

class Writer {
  readonly #options: FailureOptions;
  readonly #met = new Set<unknown>();
  /** The bytes that are left for properties, causes and stacks. */
  #left = mostBytes;

  constructor(options: FailureOptions) {
    this.#options = options;
  }

  write(thrown: unknown): Failure {
    this.#met.add(thrown);
    const brief = writeBriefly(thrown);
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

  #part(get: () => unknown, isThere = () => true): Part | undefined {
    try {
      if (!isThere()) return undefined;
      const value = get();
      if (isError(value)) {
        return this.#met.has(value) || this.#met.size >= mostErrors
          ? undefined
          : { error: this.write(value) };
      }
      return this.#fits(value) ? { value } : undefined;
    } catch {
      return undefined; // it has none that could be read
    }
  }

  #errorsOf(error: AggregateError): Part[] {
    const parts: Part[] = [];
    try {
      for (const each of error.errors) {
        const part = this.#part(() => each);
        if (part !== undefined) parts.push(part);
        if (parts.length === mostErrors) break;
      }
    } catch {
      // what could be read travels
    }
    return parts;
  }

  #propertiesOf(error: Error): Record<string, unknown> | undefined {
    const entries: [string, unknown][] = [];
    try {
      for (const key of Object.keys(error)) {
        if (isCommon(key) || entries.length === mostProperties) continue;
        try {
          const value = (error as unknown as Record<string, unknown>)[key];
          if (this.#fits({ [key]: value })) entries.push([key, value]);
        } catch {
          // a getter that throws has no value
        }
      }
    } catch {
      // a proxy that does not tell its keys has none
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
    if (size === undefined || size > this.#left) return false;
    this.#left -= size;
    return true;
  }
}

/** The error that a requester is given; undefined where `failure` is none. It is untrusted. */
export function readFailure(failure: unknown, depth = 0): Error | undefined {
  if (!isRecord(failure)) return undefined;
  const { name, message, type = name, properties, stack, cause, errors } = failure;
  if (typeof name !== "string" || typeof message !== "string") return undefined;
  // Names are for who cannot use instanceof: what befell the handler has not befallen this channel.
  const shown = ownNames.test(name) ? "Error" : name;
  const error = make(type, message, shown);
  const set = (key: string, value: unknown, enumerable = false) =>
    Object.defineProperty(error, key, { value, enumerable, configurable: true, writable: true });
  if (error.name !== shown) set("name", shown);
  set("stack", typeof stack === "string" ? stack : headOf(error)); // not where it was read
  const part = readPart(cause, depth);
  if (part !== undefined) set("cause", part.value);
  if (error instanceof AggregateError) {
    const parts = Array.isArray(errors) ? errors.map((each) => readPart(each, depth)) : [];
    set("errors", parts.filter((each) => each !== undefined).map(({ value }) => value));
  }
  if (isRecord(properties)) {
    for (const key of Object.keys(properties)) {
      if (!isCommon(key)) set(key, properties[key], true);
    }
  }
  return error;
}

/** Whether an error that has arrived brought its stack along. */
export function hasStack(error: Error): boolean {
  return error.stack !== headOf(error);
}

function headOf({ name, message }: Error): string {
  return `${name}: ${message}`;
}

function readPart(part: unknown, depth: number): { readonly value: unknown } | undefined {
  if (!isRecord(part)) return undefined;
  if (!Object.hasOwn(part, "error")) {
    return Object.hasOwn(part, "value") ? { value: part.value } : undefined;
  }
  const error = depth < deepest ? readFailure(part.error, depth + 1) : undefined;
  return error && { value: error };
}

function make(type: unknown, message: string, name: string): Error {
  if (type === "AggregateError") return new AggregateError([], message);
  if (type === "DOMException") return new DOMException(message, name);
  const Class = typeof type === "string" ? classes.get(type) : undefined;
  return new (Class ?? Error)(message);
}

/** The built-in classes of errors that take a message alone. */
const classes: ReadonlyMap<string, new (message: string) => Error> = new Map(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]
    .map((Class) => [Class.name, Class]),
);

function typeOf(error: Error): string | undefined {
  if (error instanceof AggregateError) return "AggregateError";
  if (error instanceof DOMException) return "DOMException";
  for (const [name, Class] of classes) if (error instanceof Class) return name;
}

/** Whether the property is one that every error has, or that travels by itself. */
function isCommon(key: string): boolean {
  return key in Error.prototype || common.has(key);
}

const common: ReadonlySet<string> = new Set(["stack", "cause", "errors"]);

const ownNames = /^Channel[A-Za-z]*Error$/;

function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false; // a proxy that was revoked
  }
}

function textOf(get: () => unknown): string {
  try {
    return String(get());
  } catch {
    return undescribed;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

const undescribed = "an error that cannot be described";

/** How many bytes the properties, causes and stacks of an error and of its causes have together. */
const mostBytes = 256 * 1024;

/** How many errors travel in one, and how many properties of each. */
const mostErrors = 100;
const mostProperties = 100;

/** How deep errors are nested. */
const deepest = mostErrors;
