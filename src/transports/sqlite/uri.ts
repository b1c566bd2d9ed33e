import { absolute, env, home, join, platform } from "../../shared/host.ts";
import { ChannelConfigError } from "../../shared/errors.ts";

/** What a `sqlite:` URI says. */
export interface SqliteUri {
  /** `sqlite:` and the absolute path. */
  readonly address: string;
  /** Absolute and normalized. */
  readonly path: string;
  /** Whether it is the place of `sqlite:` alone. */
  readonly isDefault: boolean;
  /** Whether `synchronous=full`. */
  readonly isFull: boolean;
}

const expected = "expected sqlite:PATH, with ?synchronous=normal or full where wanted";

/**
 * `sqlite:PATH`, absolute or relative to the working directory, `sqlite:~/PATH`, or `sqlite:` alone for a
 * place of the user's. What is special in a URI (`%`, `?`, `#`) is percent-encoded in PATH (RFC 3986).
 *
 * @throws {ChannelConfigError} that says what is wrong and what is expected
 */
export function parseSqliteUri(uri: string): SqliteUri {
  const fail = (problem: string): never => {
    throw new ChannelConfigError(`Cannot use the URI ${uri}: ${problem}`);
  };
  const [, written, query] = /^sqlite:([^?#]*)(?:\?([^#]*))?$/i.exec(uri) ??
    fail(`it has a fragment (#); ${expected}`);
  const decoded = decode(written!, fail);
  const isDefault = decoded === "";
  const path = absolute(isDefault ? defaultPath(fail) : inHome(decoded, fail)) ??
    fail("there are no files in this runtime");
  return { address: `sqlite:${encode(path)}`, path, isDefault, isFull: isFull(query, fail) };
}

type Fail = (problem: string) => never;

function decode(written: string, fail: Fail): string {
  if (written === ":memory:") fail("for channels within this process there is memory:");
  // As in file: URIs (RFC 8089), an empty authority may precede an absolute path.
  const path = written.replace(/^\/\/(?=\/)/, "");
  if (path.startsWith("//")) fail(`it names a host; ${expected}`);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return fail("a % in it does not begin a percent-encoded character; % itself is %25");
  }
  if (decoded.includes("\0")) fail("no path has a NUL in it");
  if (decoded.endsWith("/")) fail(`it names a directory; ${expected}`);
  return decoded;
}

function encode(path: string): string {
  return path.replace(/[%?#\s]/g, encodeURIComponent);
}

function inHome(path: string, fail: Fail): string {
  if (!path.startsWith("~/")) return path;
  return join(home() ?? fail("the home directory is not known, or not granted"), path.slice(2));
}

/**
 * `channelts/channels.db` in the user's directory for the state of programs: `$XDG_STATE_HOME` or
 * `~/.local/state` (XDG Base Directory Specification), `~/Library/Application Support` on macOS,
 * `%LOCALAPPDATA%` on Windows.
 */
function defaultPath(fail: Fail): string {
  return join(join(stateDirectory(fail), "channelts"), "channels.db");
}

function stateDirectory(fail: Fail): string {
  const own = platform() === "win32" ? env("LOCALAPPDATA") : env("XDG_STATE_HOME");
  if (own !== undefined && absolute(own) === own) return own;
  const directory = home() ??
    fail("the home directory is not known, or --allow-env=HOME not granted; name a path");
  if (platform() === "win32") return join(join(directory, "AppData"), "Local");
  if (platform() === "darwin") return join(join(directory, "Library"), "Application Support");
  return join(join(directory, ".local"), "state");
}

function isFull(query: string | undefined, fail: Fail): boolean {
  let full = false;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key !== "synchronous") fail(`it has an unknown parameter ${key}; ${expected}`);
    const level = value.toLowerCase();
    if (level !== "normal" && level !== "full") fail(`synchronous is normal or full, not ${value}`);
    full = level === "full";
  }
  return full;
}
