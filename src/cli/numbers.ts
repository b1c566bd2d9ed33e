import { UsageError } from "./cli_error.ts";

/** Returns the milliseconds that an option's text says. */
export function milliseconds(text: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (value >= 0) return value;
  throw new UsageError("it must be milliseconds, such as 5000");
}

/** Returns the whole number from 1 that an option's text says. */
export function count(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && text.trim() !== "") return value;
  throw new UsageError("it must be a whole number from 1");
}
