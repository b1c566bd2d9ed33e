/**
 * What a transport offers to a diagnosis, such as the command `channelts doctor`: an `inspector.ts` in its folder. It is
 * loaded by a diagnosis only. This file imports nothing but the contract.
 *
 * @module
 */

import type { TransportOptions } from "./transport.ts";

/**
 * How serious a finding is: `ok` is as it should be, a `note` is worth knowing, a `warning` is a fault for some uses, and
 * with a `problem` channels cannot be used.
 */
export type FindingLevel = "ok" | "note" | "warning" | "problem";

/** Something that an inspection has found out. No part of it contains a credential. */
export interface Finding {
  readonly level: FindingLevel;
  /** What the finding is about: a fixed word for programs, such as `permission`. */
  readonly about: string;
  /** What was found, for people. */
  readonly what: string;
  /** What to do about it. Every warning and problem has one. */
  readonly cure?: string;
  /** The same for programs, such as `{ version: "4.3.6" }`. */
  readonly facts?: Readonly<Record<string, string | number | boolean>>;
}

/** Options of {@linkcode Inspector.inspect}. */
export interface InspectionOptions {
  /** The options of the connection besides its URI. */
  readonly transport?: TransportOptions;
  /** The name of a channel to inspect. Absent: none. */
  readonly name?: string;
  /** For how many milliseconds each step waits for the broker. */
  readonly timeout: number;
  /** Aborted when the inspection is to end early: `inspect` rejects with its reason then. */
  readonly signal: AbortSignal;
  /** Called with each finding as soon as there is one. */
  report(finding: Finding): void;
}

/** Reports a finding. */
export type ReportFinding = InspectionOptions["report"];

/** Examines what the URIs of a transport lead to. */
export interface Inspector {
  /** Returns the flags by which Deno permits a program to use the connection of a URI, such as `--allow-net=host:5672`. */
  permissions(uri: string): readonly string[];
  /**
   * Examines what a URI leads to. It creates nothing that stays, takes no message and changes nothing. What is wrong is a
   * finding; it rejects only when the signal is aborted, or because of a fault of its own.
   *
   * @param uri a URI that the scheme has parsed
   */
  inspect(uri: string, options: InspectionOptions): Promise<void>;
}

/** Returns a finding of the level `ok`. */
export function fine(about: string, what: string, facts?: Finding["facts"]): Finding {
  return { level: "ok", about, what, ...facts === undefined ? {} : { facts } };
}

/** Returns the finding that a channel does not exist. */
export function missingChannel(name: string): Finding {
  return {
    level: "note",
    about: "channel",
    what: `channel ${name} does not exist; the first program that uses it creates it`,
    facts: { exists: false },
  };
}

/** Returns the finding that a channel is closed by a drain. */
export function closedChannel(name: string): Finding {
  return {
    level: "warning",
    about: "closed",
    what: `channel ${name} was closed by closeAll({ drain: true }), and takes no values`,
    cure: `delete it (channelts delete ${name}) to use the name again`,
  };
}

/** Returns the finding that a channel has dead letters. */
export function waitingDeadLetters(name: string, count: number): Finding {
  return {
    level: "warning",
    about: "dead-letters",
    what: count === 1
      ? `1 dead letter of channel ${name} waits`
      : `${count} dead letters of channel ${name} wait`,
    cure: `see why with channelts dead-letters ${name} list, and retry or drop them`,
    facts: { messages: count },
  };
}

/** Splits advice such as `nothing listens on …; check that …` into what was found and the cure. */
export function splitAdvice(
  advice: string,
  otherwise: string,
): { readonly what: string; readonly cure: string } {
  const [what = "", ...cures] = advice.split("; ");
  return { what, cure: cures.length > 0 ? cures.join("; ") : otherwise };
}

/** Splits the advice of a failed attempt to connect. Of a certificate it also says what the user of a program can set. */
export function splitConnectAdvice(
  advice: string,
  otherwise: string,
): { readonly what: string; readonly cure: string } {
  const { what, cure } = splitAdvice(advice, otherwise);
  if (!/certificate|PEM/.test(what)) return { what, cure };
  const authority =
    "name the authority's file by NODE_EXTRA_CA_CERTS (Node, Bun) or DENO_CERT (Deno)";
  return { what, cure: `${cure}, or ${authority}` };
}

/** Returns a number of milliseconds for people. */
export function shownTime(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** Returns a number of bytes for people. */
export function shownSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  const value = bytes / 1024 ** power;
  return `${value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value)} ${
    ["", "KiB", "MiB", "GiB", "TiB"][power]
  }`;
}
