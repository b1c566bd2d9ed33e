// Every public function checks its arguments with a Signature, which rejects unknown options, values of the wrong type,
// options that are no object, and surplus arguments with a ChannelConfigError.

import { ChannelConfigError } from "./errors.ts";
import { withValue } from "./put_errors.ts";
import { nearest } from "./spelling.ts";

/** The values that an option or an argument takes. */
export interface Rule {
  /** The values in words, such as "a string". */
  readonly takes: string;
  allows(value: unknown): boolean;
  /** Whether errors must not show the value. */
  readonly isSecret?: boolean;
  /**
   * The advice of the error for an option that is present with the value `undefined`. Present only for an option that
   * decides which channel is meant; any other option may be `undefined`.
   */
  readonly adviceForUndefined?: string;
}

/** A rule for each option. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

/** The default of every options parameter. It needs no check, so that a call without options costs nothing. */
export const none: Readonly<Record<never, never>> = Object.freeze({});

/** The arguments of a public function, of which the last is its options. */
export class Signature {
  /** The name of the function in errors. */
  readonly action: string;
  readonly #most: number;
  readonly #rules: ReadonlyMap<string, Rule>;
  readonly #usage: string;

  /**
   * @param most the number of arguments that the function takes
   * @param rules a rule for each option
   * @param usage a sample call, for errors
   */
  constructor(action: string, most: number, rules: Readonly<Record<string, Rule>>, usage: string) {
    this.action = action;
    this.#most = most;
    this.#rules = new Map(Object.entries(rules));
    this.#usage = usage;
  }

  /**
   * Checks the arguments of a call.
   *
   * @param count the number of arguments
   * @throws {ChannelConfigError} for an argument or option that the function does not take
   */
  check(options: object, count: number): void {
    if (count > this.#most) throw this.#surplus(count);
    if (options !== none) this.#checkOptions(options as Record<string, unknown>);
  }

  /** Checks a call of a function that returns a promise. Returns the rejection, or undefined for a correct call. */
  refusal(options: object, count: number): Promise<never> | undefined {
    if (count <= this.#most && options === none) return undefined;
    try {
      this.check(options, count);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Checks a call of a function that puts a value, and attaches the value to the error. */
  refusalOf(value: unknown, options: object, count: number): Promise<never> | undefined {
    return this.refusal(options, count)?.catch((error) => {
      throw withValue(error, value);
    });
  }

  /**
   * Checks a call of a function that takes no options, and may be called as a listener, with arguments of an event.
   * Only an object literal is taken for options.
   */
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
      throw this.#noOptions(options); // a Date, a Map, or a URL, which has a `username`
    }
    if (unknown !== undefined) throw this.#unknown(unknown);
    if (isLiteral) return;
    // The accessors of a class are not enumerable, but the function will read them.
    for (const [name, rule] of this.#rules) {
      if (name in options) this.#checkOption(name, rule, options[name]);
    }
  }

  #checkOption(name: string, rule: Rule, value: unknown): void {
    if (value === undefined) {
      if (rule.adviceForUndefined === undefined) return;
      throw new ChannelConfigError(
        `${this.action}: the option "${name}" is undefined; ${rule.adviceForUndefined}`,
      );
    }
    if (!rule.allows(value)) throw misfit(this.action, `the option "${name}"`, rule, value);
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
      `${this.action}: the options must be an object, not ${shown(options)}; write ${usage}`,
    );
  }

  #surplus(count: number): ChannelConfigError {
    const most = this.#most === 1 ? "one argument" : `${this.#most || "no"} arguments`;
    return new ChannelConfigError(
      `${this.action}: takes ${most}, not ${count}; write ${this.#usage}`,
    );
  }
}

/** @throws {ChannelConfigError} for a value that the rule does not allow */
export function checkArgument(action: string, name: string, rule: Rule, value: unknown): void {
  if (!rule.allows(value)) throw misfit(action, name, rule, value);
}

function misfit(action: string, what: string, rule: Rule, value: unknown): ChannelConfigError {
  const got = rule.isSecret ? "" : `, not ${shown(value)}`;
  return new ChannelConfigError(`${action}: ${what} takes ${rule.takes}${got}`);
}

/** Returns a value as an error shows it: its kind, and at most a short part of it. */
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

/** Reports whether an object is an object literal of any realm, or has no prototype. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null ||
    Object.getPrototypeOf(prototype) === null;
}

/** Returns the rule for a number of milliseconds. */
/* @__NO_SIDE_EFFECTS__ */
export function milliseconds(least: number = 0, most: number = Infinity): Rule {
  return {
    takes: `milliseconds, ${most === Infinity ? `${least} or more` : `${least} to ${most}`}`,
    allows: (value) => typeof value === "number" && value >= least && value <= most,
  };
}

/** Returns the rule for an integer. */
/* @__NO_SIDE_EFFECTS__ */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Rule {
  const isBounded = most < Number.MAX_SAFE_INTEGER;
  return {
    takes: isBounded ? `an integer from ${least} to ${most}` : `an integer, ${least} or more`,
    allows: (value) =>
      Number.isSafeInteger(value) && value as number >= least && value as number <= most,
  };
}

/** Returns the rule for one of several strings. */
/* @__NO_SIDE_EFFECTS__ */
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
