/**
 * The environment and the files of this process, read without a permission prompt: whatever Deno has not granted yet
 * counts as absent.
 *
 * The built-in modules are loaded at run time, so that this module loads in a browser, where everything is absent.
 *
 * @module
 */

import type nodeProcess from "node:process";
import { ChannelConfigError } from "./errors.ts";

type Process = typeof nodeProcess;
type Permission =
  | { readonly name: "env"; readonly variable?: string }
  | { readonly name: "read" | "write"; readonly path: string }
  | { readonly name: "sys"; readonly kind: "homedir" | "hostname" | "osUptime" | "umask" };

/** The largest file that is read: larger than any configuration, and small enough to parse. */
const MAX_BYTES = 65_536;

/** The content of a text file, or the reason why it is absent. */
export type TextFile =
  | { readonly text: string }
  | { readonly absent: string };

/** Returns an environment variable; undefined if it is unset or not granted. */
export function env(name: string): string | undefined {
  if (!isGranted({ name: "env", variable: name })) return undefined;
  return host()?.env?.[name];
}

/** Returns the user's home directory; undefined if there is none or it is not granted. */
export function home(): string | undefined {
  const configured = env("HOME") || env("USERPROFILE");
  if (configured) return configured;
  if (!isGranted({ name: "sys", kind: "homedir" })) return undefined;
  try {
    return builtin("node:os")?.homedir() || undefined;
  } catch {
    return undefined; // a user id without a passwd entry
  }
}

/** Returns the machine's name; undefined if it is not granted. */
export function hostname(): string | undefined {
  if (!isGranted({ name: "sys", kind: "hostname" })) return undefined;
  return builtin("node:os")?.hostname() || undefined;
}

/** Returns the seconds since the machine's start, including sleep; undefined if that is not granted. */
export function uptime(): number | undefined {
  if (!isGranted({ name: "sys", kind: "osUptime" })) return undefined;
  return builtin("node:os")?.uptime();
}

/**
 * Reads a UTF-8 text file that need not exist. It is `absent` if it is missing, if reading it is not granted, or if the
 * user may not enter its directory.
 *
 * @throws the system's error if the file exists and cannot be read, a RangeError if it is larger than 64 KiB, and a
 * TypeError if it is not UTF-8
 */
export function readText(path: string): TextFile {
  const notGranted = { absent: `reading it is not granted: allow it with --allow-read=${path}` };
  if (!isGranted({ name: "read", path })) return notGranted;
  const fs = builtin("node:fs");
  if (fs === undefined) return { absent: "this runtime has no files" };
  try {
    fs.statSync(path);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return { absent: "there is no such file" };
    if (code === "EACCES" || code === "EPERM") return { absent: "its directory cannot be entered" };
    // Node's own permission model.
    if (code === "ERR_ACCESS_DENIED") {
      return { absent: `reading it is not granted: allow it with --allow-fs-read=${path}` };
    }
    throw error;
  }

  const bytes = new Uint8Array(MAX_BYTES + 1);
  let length = 0;
  const file = fs.openSync(path, "r");
  try {
    // Not readFileSync, since the path may name an endless device.
    for (let n = -1; n !== 0 && length < bytes.length; length += n) {
      n = fs.readSync(file, bytes, length, bytes.length - length, null);
    }
  } finally {
    fs.closeSync(file);
  }
  if (length > MAX_BYTES) throw new RangeError(`it is larger than ${MAX_BYTES} bytes`);
  return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length)) };
}

/**
 * Runs a function with an empty environment, unless the whole environment is granted. The YAML library reads
 * environment variables for each token, which would prompt or fail.
 */
export function withEmptyEnv<Result>(body: () => Result): Result {
  const process = host();
  if (process === undefined || isGranted({ name: "env" })) return body();
  const { env } = process;
  process.env = {};
  try {
    return body();
  } finally {
    process.env = env;
  }
}

/** Joins a directory and a file name with the separator of the platform. */
export function join(directory: string, name: string): string {
  return builtin("node:path")?.join(directory, name) ?? `${directory}/${name}`;
}

/** Returns the absolute form of a path, without `.` and `..`; undefined in a browser. */
export function absolute(path: string): string | undefined {
  return builtin("node:path")?.resolve(path);
}

/** Returns the platform, such as "linux", "darwin" or "win32"; undefined in a browser. */
export function platform(): string | undefined {
  return host()?.platform;
}

/** Checks that the runtime has what a scheme needs. @throws {ChannelConfigError} in a browser and the like */
export function checkPlatform(scheme: string): void {
  if (platform() !== undefined) return;
  throw new ChannelConfigError(
    `${scheme} connections need Deno, Bun, Node, or Cloudflare Workers with nodejs_compat; ` +
      "in a browser or another edge runtime, use memory:, or a transport of your own",
  );
}

/** Reports whether Deno has granted a permission; true on other runtimes. */
export function isGranted(permission: Permission): boolean {
  const { Deno } = globalThis as {
    Deno?: { permissions?: { querySync(permission: Permission): { readonly state: string } } };
  };
  if (Deno?.permissions === undefined) return true;
  return Deno.permissions.querySync(permission).state === "granted";
}

function host(): Process | undefined {
  return (globalThis as { process?: Process }).process;
}

function builtin<Name extends keyof Builtins>(name: Name): Builtins[Name] | undefined {
  if (platform() === undefined) return undefined; // in Next's edge functions, getBuiltinModule throws
  return host()?.getBuiltinModule?.(name) as Builtins[Name] | undefined;
}

interface Builtins {
  "node:fs": typeof import("node:fs");
  "node:os": typeof import("node:os");
  "node:path": typeof import("node:path");
}
