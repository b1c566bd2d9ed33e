// Every public function checks its arguments by a Signature: unknown options, values of the wrong type, options that
// are no object, and surplus arguments are a ChannelConfigError.

import { ChannelConfigError } from "./errors.ts";
import { withValue } from "./put_errors.ts";
import { nearest } from "./spelling.ts";

/** Which values an option, or an argument, takes. */
export interface Rule {
  /** The values in words, such as "a string". */
  readonly takes: string;
  allows(value: unknown): boolean;
  /** Whether an error must not show the value. */
  readonly isSecret?: boolean;
  /**
   * What to do where the option is there and `undefined`, which is an error then: an option that decides which
   * channel is meant. Absent: `undefined` is the same as no option.
   */
  readonly adviceForUndefined?: string;
}

/** A rule for each option. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

/** What options default to. It is known to need no check, so that a call without options costs nothing. */
export const none: Readonly<Record<never, never>> = Object.freeze({});

/** The arguments of one public function whose last one is its options. */
export class Signature {
  /** What the function is called in errors. */
  readonly action: string;
  readonly #most: number;
  readonly #rules: ReadonlyMap<string, Rule>;
  readonly #usage: string;

  /**
   * @param most how many arguments the function takes
   * @param rules one for each option; none where it takes no options
   * @param usage a call as it is written, for errors
   */
  constructor(action: string, most: number, rules: Readonly<Record<string, Rule>>, usage: string) {
    this.action = action;
    this.#most = most;
    this.#rules = new Map(Object.entries(rules));
    this.#usage = usage;
  }

  /**
   * @param count how many arguments the function was called with
   * @throws {ChannelConfigError} for whatever the function does not take
   */
  check(options: object, count: number): void {
    if (count > this.#most) throw this.#surplus(count);
    if (options !== none) this.#checkOptions(options as Record<string, unknown>);
  }

  /** The same for a function that returns a promise: the rejection, or undefined where all is well. */
  refusal(options: object, count: number): Promise<never> | undefined {
    if (count <= this.#most && options === none) return undefined;
    try {
      this.check(options, count);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The same for a function that puts a value, which its error carries. */
  refusalOf(value: unknown, options: object, count: number): Promise<never> | undefined {
    return this.refusal(options, count)?.catch((error) => {
      throw withValue(error, value);
    });
  }

  /** The same for one that takes nothing, and is called as a listener too, with arguments that are not for it. */
  refusalOfLiteral({ 0: first, length: count }: ArrayLike<unknown>): Promise<never> | undefined {
    const isLiteral = typeof first === "object" && first !== null && isPlain(first);
    return isLiteral ? this.refusal(none, count) : undefined;
  }

  #checkOptions(options: Record<string, unknown>): void {
    if (typeof options !== "object" || options === null || Array.isArray(options)) {
      throw this.#noOptions(options);
    }
    let isFound = false;
    let unknown: string | undefined;
    for (const name in options) {
      const rule = this.#rules.get(name);
      if (rule !== undefined) {
        this.#checkOption(name, rule, options[name]);
        isFound = true;
      } else if (Object.hasOwn(options, name)) unknown ??= name;
    }
    const isLiteral = isPlain(options);
    if (!isLiteral && (!isFound || Symbol.toStringTag in options)) {
      throw this.#noOptions(options); // a Date, a Map, a URL, which has a username
    }
    if (unknown !== undefined) throw this.#unknown(unknown);
    if (isLiteral) return;
    // An accessor of a class is not enumerable, and is read all the same.
    for (const [name, rule] of this.#rules) {
      if (name in options) this.#checkOption(name, rule, options[name]);
    }
  }

  #checkOption(name: string, rule: Rule, value: unknown): void {
    if (value === undefined) {
      if (rule.adviceForUndefined === undefined) return;
      throw new ChannelConfigError(
        `${this.action}: the option ${name} is undefined; ${rule.adviceForUndefined}`,
      );
    }
    if (!rule.allows(value)) throw unfit(this.action, `the option ${name}`, rule, value);
  }

  #unknown(name: string): ChannelConfigError {
    const names = [...this.#rules.keys()];
    const near = nearest(name, names);
    let advice = "it takes no options";
    if (near !== undefined) advice = `did you mean ${near}?`;
    else if (names.length > 0) advice = `the options are ${names.join(", ")}`;
    return new ChannelConfigError(
      `${this.action}: there is no option ${JSON.stringify(name.slice(0, 40))}; ${advice}`,
    );
  }

  #noOptions(options: unknown): ChannelConfigError {
    let meant: string | undefined;
    if (this.#rules.has("signal") && abortSignal.allows(options)) meant = "{ signal }";
    if (this.#rules.has("timeout") && typeof options === "number") {
      meant = `{ timeout: ${options} }`;
    }
    const usage = meant === undefined
      ? this.#usage
      : this.#usage.replace(/\{[^{}]*\}(?=\)$)/, meant);
    return new ChannelConfigError(
      `${this.action}: the options are an object, and got ${shown(options)}; write ${usage}`,
    );
  }

  #surplus(count: number): ChannelConfigError {
    const most = this.#most === 1 ? "one argument" : `${this.#most || "no"} arguments`;
    return new ChannelConfigError(
      `${this.action}: takes ${most}, and got ${count}; write ${this.#usage}`,
    );
  }
}

/** @throws {ChannelConfigError} for an argument that is none */
export function checkArgument(action: string, name: string, rule: Rule, value: unknown): void {
  if (!rule.allows(value)) throw unfit(action, name, rule, value);
}

function unfit(action: string, what: string, rule: Rule, value: unknown): ChannelConfigError {
  const got = rule.isSecret ? "" : `, and got ${shown(value)}`;
  return new ChannelConfigError(`${action}: ${what} takes ${rule.takes}${got}`);
}

/** A value as an error shows it: what it is, and never much of it. */
export function shown(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  }
  if (typeof value === "bigint") return `${String(value).slice(0, 40)}n`;
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return "an array";
  if (isPlain(value)) return "an object";
  const { name } = (value.constructor ?? {}) as { readonly name?: unknown };
  return typeof name === "string" && name !== "" ? `an object of class ${name}` : "an object";
}

/** Whether an object is an object literal, of whatever realm, or has no prototype. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null ||
    Object.getPrototypeOf(prototype) === null;
}

/** A number of milliseconds between `least` and `most`. */
export function milliseconds(least: number = 0, most: number = Infinity): Rule {
  return {
    takes: `milliseconds, ${most === Infinity ? `${least} or more` : `${least} to ${most}`}`,
    allows: (value) => typeof value === "number" && value >= least && value <= most,
  };
}

/** An integer between `least` and `most`. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Rule {
  const isBounded = most < Number.MAX_SAFE_INTEGER;
  return {
    takes: isBounded ? `an integer from ${least} to ${most}` : `an integer, ${least} or more`,
    allows: (value) =>
      Number.isSafeInteger(value) && value as number >= least && value as number <= most,
  };
}

/** One of a few texts. */
export function oneOf(...texts: readonly string[]): Rule {
  return {
    takes: texts.map((text) => JSON.stringify(text)).join(" or "),
    allows: (value) => texts.includes(value as string),
  };
}

export const text: Rule = { takes: "a string", allows: (value) => typeof value === "string" };

export const secret: Rule = { ...text, isSecret: true };

export const truth: Rule = {
  takes: "true or false",
  allows: (value) => typeof value === "boolean",
};

export const callable: Rule = {
  takes: "a function",
  allows: (value) => typeof value === "function",
};

export const abortSignal: Rule = {
  takes: "an AbortSignal",
  allows: (value) =>
    typeof value === "object" && value !== null && "aborted" in value &&
    typeof (value as Partial<AbortSignal>).addEventListener === "function",
};
