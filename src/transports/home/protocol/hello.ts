import type { PutTerm } from "../../transport.ts";
import { booleanField, countField, stringField, stringsField } from "./fields.ts";
import { type Frame, numberOf, ProtocolError } from "./frame.ts";

/** The version of the protocol. */
export const version = 1;

/** The greeting of a home. */
export interface Welcome {
  /** An id that the home has chosen when it started. */
  readonly home: string;
  /** Whether the home remembers the puts of earlier connections of the session. */
  readonly resumed: boolean;
  readonly terms: readonly PutTerm[];
  readonly rendezvous: boolean;
  /** The size of the largest frame that the home reads, in bytes. */
  readonly maxFrame: number;
  /** How many puts may be without an answer. */
  readonly maxPuts: number;
}

/** The greeting of a peer. */
export interface Hello {
  /** A random text by which the home knows the connections of a peer. */
  readonly session: string;
  /** The secret that the home demands. */
  readonly token?: string;
  /** A name for the log of the home. */
  readonly name?: string;
}

/** Returns the JSON object of a `HELLO`. */
export function helloFields(hello: Hello): string {
  return JSON.stringify({ version, ...hello });
}

/** @throws {ProtocolError} if the greeting cannot be read, or is of another version */
export function welcomeOf({ fields }: Frame): Welcome {
  const spoken = countField(fields, "version");
  if (spoken !== version) throw new ProtocolError(`it speaks version ${spoken}, not ${version}`);
  const terms = (stringsField(fields, "terms") ?? []).filter((term): term is PutTerm =>
    putTerms.has(term)
  );
  return {
    home: stringField(fields, "home") ?? "",
    resumed: booleanField(fields, "resumed") ?? false,
    terms,
    rendezvous: booleanField(fields, "rendezvous") ?? false,
    maxFrame: positiveField(fields, "maxFrame"),
    maxPuts: positiveField(fields, "maxPuts"),
  };
}

function positiveField(fields: Frame["fields"], name: string): number {
  const value = countField(fields, name);
  return value === undefined ? Infinity : numberOf(String(value));
}

const putTerms: ReadonlySet<string> = new Set<PutTerm>(["delay", "expires", "priority"]);
