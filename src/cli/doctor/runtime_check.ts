import process from "node:process";
import { version } from "../../shared/version.ts";
import type { Examination } from "./examination.ts";
import type { Chosen } from "./source_check.ts";

/** Says what runs. */
export function checkRuntime({ report }: Examination): void {
  const { name, version: ofRuntime } = runtime();
  const { platform, arch } = process;
  report({
    level: "ok",
    about: "version",
    what: `ChannelTS ${version} on ${name} ${ofRuntime}, ${platform} ${arch}`,
    facts: { library: version, runtime: name, runtimeVersion: ofRuntime, platform, arch },
  });
}

function runtime(): { readonly name: string; readonly version: string } {
  const { deno, bun, node } = process.versions;
  if (deno !== undefined) return { name: "Deno", version: deno };
  return bun === undefined ? { name: "Node", version: node } : { name: "Bun", version: bun };
}

/** Says what a Deno program needs to be permitted to use the connection. */
export function checkPermissions(
  { uri, permissions, inspector }: Chosen,
  { report }: Examination,
): void {
  const flags = merged([...permissions, ...inspector?.permissions(uri) ?? []]);
  const shown = flags.map(quoted).join(" ");
  report({
    level: "ok",
    about: "deno",
    what: flags.length === 0
      ? "a Deno program needs no permission to use the connection"
      : `a Deno program that uses the connection needs ${shown}`,
    facts: { flags: shown },
  });
}

/** Joins the values of equal flags. */
function merged(flags: readonly string[]): string[] {
  const values = new Map<string, string[]>();
  for (const flag of flags) {
    const [, name, value] = /^(--[\w-]+)=(.*)$/s.exec(flag)!;
    values.set(name!, [...values.get(name!) ?? [], value!]);
  }
  return [...values].map(([name, all]) => `${name}=${[...new Set(all)].join(",")}`);
}

/** Returns a flag as a shell takes it. */
function quoted(flag: string): string {
  return /^[\w./:=,@%+-]+$/.test(flag) ? flag : `'${flag.replaceAll("'", "'\\''")}'`;
}
