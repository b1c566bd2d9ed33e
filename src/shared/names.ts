import { ChannelConfigError } from "./errors.ts";
import { hexOf } from "./hex.ts";

/**
 * Returns a new unique name: 32 hexadecimal digits with 124 random bits. Four bits are those of a UUID of version 4.
 */
export function anonymousName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6]! & 0x0f | 0x40;
  return hexOf(bytes);
}

/** Reports whether a name is one of an anonymous channel. */
export function isAnonymous(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

/**
 * Checks that every transport accepts a channel's name, so that a program can change its transport. AMQP limits names
 * to 255 bytes of UTF-8, and RabbitMQ reserves the prefix "amq.".
 */
export function checkName(name: unknown): asserts name is string {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new ChannelConfigError(`a channel's name must ${problem}`);
}

const encoder = new TextEncoder();

function nameProblem(name: unknown): string | undefined {
  if (typeof name !== "string") return `be a string, not ${name === null ? "null" : typeof name}`;
  if (name === "") return "not be empty; leave it out for an anonymous channel";
  if (name.startsWith("amq.")) return `not start with "amq.", which RabbitMQ reserves`;
  if (name.endsWith(".closed.channelts")) {
    return `not end with ".closed.channelts", which is reserved`;
  }
  // deno-lint-ignore no-control-regex -- the check is for control characters
  if (/[\0-\x1f\x7f]/.test(name)) return "not contain control characters";
  if (!name.isWellFormed()) return "be well-formed Unicode, without lone surrogates";
  // A UTF-16 code unit takes at most three bytes.
  if (3 * name.length > 255 && encoder.encode(name).length > 255) {
    return "be at most 255 bytes of UTF-8";
  }
}

/** Returns the name of the dead-letter channel of a channel. */
export function deadLettersName(name: string): string {
  const deadLetters = `${name}.dead-letters`;
  checkName(deadLetters);
  return deadLetters;
}
