/**
 * The environment and the files of this process, read without ever causing a permission prompt:
 * what Deno has not granted already counts as absent.
 *
 * The built-in modules are asked for at run time, so that this loads in a browser, where all is absent.
 *
 * @module
 */

import type nodeProcess from "node:process";

type Process = typeof nodeProcess;
type Permission =
  | { readonly name: "env"; readonly variable?: string }
  | { readonly name: "read" | "write"; readonly path: string }
  | { readonly name: "sys"; readonly kind: "homedir" | "hostname" | "osUptime" };

/** Far above any configuration, far below what would hurt to parse. */
const MAX_BYTES = 65_536;

/** A text file's content, or why there is none to be had. */
export type Reading =
  | { readonly text: string }
  | { readonly absent: string };

/** An environment variable; undefined if it is unset or not granted. */
export function env(name: string): string | undefined {
  if (!isGranted({ name: "env", variable: name })) return undefined;
  return host()?.env?.[name];
}

/** The user's home directory; undefined if there is none, or it is not granted. */
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

/** This machine's name; undefined if that is not granted. */
export function hostname(): string | undefined {
  if (!isGranted({ name: "sys", kind: "hostname" })) return undefined;
  return builtin("node:os")?.hostname() || undefined;
}

/** Seconds since this machine was started, in which it slept included; undefined if that is not granted. */
export function uptime(): number | undefined {
  if (!isGranted({ name: "sys", kind: "osUptime" })) return undefined;
  return builtin("node:os")?.uptime();
}

/**
 * Reads a UTF-8 text file. `absent` covers what a file that is merely looked for may be: missing,
 * not granted, or below a directory that this user cannot enter.
 *
 * @throws the system's error if a file is there and cannot be read, a RangeError if it is larger
 * than 64 KiB, a TypeError if it is not UTF-8
 */
export function readText(path: string): Reading {
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
    // Not readFileSync: what the path names may be endless.
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
 * Runs code, synchronously, to which every environment variable is unset where not all are granted:
 * the YAML library looks up variables of its own for each token, and would prompt or fail.
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

/** Joins a directory and a file name as the platform does. */
export function join(directory: string, name: string): string {
  return builtin("node:path")?.join(directory, name) ?? `${directory}/${name}`;
}

/** The absolute form of a path, without `.` and `..`; undefined where there are no files. */
export function absolute(path: string): string | undefined {
  return builtin("node:path")?.resolve(path);
}

/** "linux", "darwin", "win32" …; undefined in a browser. */
export function platform(): string | undefined {
  return host()?.platform;
}

/** Whether Deno would not have to ask; true on other runtimes. */
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
  return host()?.getBuiltinModule?.(name) as Builtins[Name] | undefined;
}

interface Builtins {
  "node:fs": typeof import("node:fs");
  "node:os": typeof import("node:os");
  "node:path": typeof import("node:path");
}
