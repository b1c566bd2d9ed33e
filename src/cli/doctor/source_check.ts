import { statSync } from "node:fs";
import process from "node:process";
import { ChannelConfigError } from "../../../mod.ts";
import { settings } from "../../connection/config.ts";
import { type Inspector, inspectorOf, sources } from "../../connection/inspect.ts";
import { withoutCredentials } from "../../shared/redact.ts";
import type { Examination } from "./examination.ts";

/** The connection that is used. */
export interface Chosen {
  readonly uri: string;
  /** The flags by which Deno permits a program to find it. */
  readonly permissions: readonly string[];
  /** Absent for a scheme that the library does not have. */
  readonly inspector?: Inspector;
}

/** Where a connection is named. */
interface Named {
  readonly uri: string;
  /** The option, variable or file. */
  readonly source: string;
  /** The line of the file. */
  readonly line?: number;
  readonly kind: "option" | "variable" | "file" | "default";
  /** Milliseconds. */
  readonly retryTimeout?: number;
}

/** Finds out which connection is used, and why. Returns undefined if that is invalid, which is reported. */
export async function checkSource(examination: Examination): Promise<Chosen | undefined> {
  const { report } = examination;
  let source = "--connection";
  try {
    const named = await namedBy(examination);
    source = sourceOf(named);
    const { address, inspector } = await inspectorOf(named.uri);
    report({
      level: named.kind === "default" ? "note" : "ok",
      about: "source",
      what: named.kind === "default"
        ? "nothing names a connection, so channels are those of memory:"
        : `the connection is ${address}, by ${source}`,
      ...named.kind === "default"
        ? { cure: "name one by --connection, the variable CHANNELTS_URI, or ~/.channelts.yml" }
        : {},
      facts: {
        address,
        source: named.source,
        kind: named.kind,
        ...named.line === undefined ? {} : { line: named.line },
        ...named.retryTimeout === undefined ? {} : { retryTimeout: named.retryTimeout },
      },
    });
    reportOthers(named, report);
    reportSecrets(named, report);
    const permissions = permissionsFor(named);
    return { uri: named.uri, permissions, ...inspector === undefined ? {} : { inspector } };
  } catch (error) {
    if (!(error instanceof ChannelConfigError)) throw error;
    const [what = "", ...cures] = error.message.split("; ");
    report({
      level: "problem",
      about: "source",
      what: source === "--connection" ? what : `${source}: ${what}`,
      cure: cures.length > 0 ? cures.join("; ") : "correct it; docs/connections.md has the URIs",
    });
    return undefined;
  }
}

async function namedBy({ uri }: Examination): Promise<Named> {
  if (uri !== undefined) return { uri, source: "--connection", kind: "option" };
  const found = await settings();
  const { source } = found;
  const kind = source === "default" ? source : source === "CHANNELTS_URI" ? "variable" : "file";
  return { ...found, kind };
}

function sourceOf({ kind, source, line }: Named): string {
  if (kind === "option") return "the option --connection";
  if (kind === "variable") return `the variable ${source}`;
  return kind === "file" ? `line ${line} of the file ${source}` : "default";
}

/** Says what else was looked at, in the order in which it counts. */
function reportOthers({ source, kind }: Named, report: Examination["report"]): void {
  const all = sources();
  const used = all.findIndex(({ name }) => name === source);
  const looked = all.map(({ name, absent }, i) => {
    const state = absent ?? (i === used
      ? "used"
      // The variable that names the file which is used.
      : name === "CHANNELTS_CONFIG" && used >= 0
      ? "set"
      : `hidden by ${kind === "option" ? "--connection" : source}`);
    return `${name} (${state})`;
  });
  report({
    level: "note",
    about: "sources",
    what: `looked for a connection: ${looked.join(", ")}`,
  });
}

/** Warns of a password that others may read. */
function reportSecrets({ uri, kind, source }: Named, report: Examination["report"]): void {
  if (withoutCredentials(uri) === uri || !/:\/\/[^@/]*:[^@]+@/.test(uri)) return;
  if (kind === "option") {
    report({
      level: "warning",
      about: "secret",
      what:
        "the password in --connection is visible in the list of processes and in the shell's history",
      cure: "set the variable CHANNELTS_URI, or write the URI into ~/.channelts.yml",
    });
  }
  if (kind !== "file" || process.platform === "win32") return;
  const mode = statSync(source, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o077) === 0) return;
  report({
    level: "warning",
    about: "secret",
    what: `other users of this machine may read ${source}, which has a password ` +
      `(mode ${(mode & 0o777).toString(8)})`,
    cure: `chmod 600 ${source}`,
    facts: { mode: (mode & 0o777).toString(8) },
  });
}

/** Returns the flags by which Deno permits a program to find its connection as this program did. */
function permissionsFor({ kind, source }: Named): readonly string[] {
  if (kind === "option" || kind === "default") return [];
  if (kind === "variable") return ["--allow-env=CHANNELTS_URI"];
  const isNamed = sources().some(({ name, absent }) =>
    name === "CHANNELTS_CONFIG" && absent === undefined
  );
  return [`--allow-env=${isNamed ? "CHANNELTS_CONFIG" : "HOME"}`, `--allow-read=${source}`];
}
