// The members of a frame's JSON object. They are untrusted, so each is read with its type.

import type { ChannelStats } from "../../transport.ts";
import { type Frame, ProtocolError } from "./frame.ts";

type Fields = Frame["fields"];

/** @throws {ProtocolError} if the member is there and is no string */
export function stringField(fields: Fields, name: string): string | undefined {
  const value = member(fields, name);
  if (value === undefined || typeof value === "string") return value;
  throw new ProtocolError(`the member ${name} is no string`);
}

/** @throws {ProtocolError} if the member is there and is no boolean */
export function booleanField(fields: Fields, name: string): boolean | undefined {
  const value = member(fields, name);
  if (value === undefined || typeof value === "boolean") return value;
  throw new ProtocolError(`the member ${name} is neither true nor false`);
}

/** Reads an integer that is not negative. @throws {ProtocolError} if the member is there and is none */
export function countField(fields: Fields, name: string): number | undefined {
  const value = member(fields, name);
  if (value === undefined || Number.isSafeInteger(value) && value as number >= 0) {
    return value as number | undefined;
  }
  throw new ProtocolError(`the member ${name} is no count`);
}

/** Reads what is known of a channel. @throws {ProtocolError} if a member is there and is not what it must be */
export function statsOf(fields: Fields): ChannelStats {
  const stats: { -readonly [K in keyof ChannelStats]: ChannelStats[K] } = {
    depth: countField(fields, "depth") ?? 0,
  };
  for (const name of ["loans", "consumers", "delayed", "capacity"] as const) {
    const value = countField(fields, name);
    if (value !== undefined) stats[name] = value;
  }
  const closed = booleanField(fields, "closed");
  if (closed !== undefined) stats.closed = closed;
  return stats;
}

/** Reads a number that is not negative. @throws {ProtocolError} if the member is there and is none */
export function durationField(fields: Fields, name: string): number | undefined {
  const value = member(fields, name);
  if (value === undefined || typeof value === "number" && value >= 0) return value;
  throw new ProtocolError(`the member ${name} is no duration`);
}

/** Reads any number. @throws {ProtocolError} if the member is there and is none */
export function numberField(fields: Fields, name: string): number | undefined {
  const value = member(fields, name);
  if (value === undefined || typeof value === "number") return value;
  throw new ProtocolError(`the member ${name} is no number`);
}

/** Reads a list of strings. @throws {ProtocolError} if the member is there and is none */
export function stringsField(fields: Fields, name: string): readonly string[] | undefined {
  const value = member(fields, name);
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new ProtocolError(`the member ${name} is no list of strings`);
}

/** An absent member is undefined, and so is one that is null. */
function member(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] ?? undefined : undefined;
}
