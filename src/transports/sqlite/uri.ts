import { absolute, env, home, join, platform } from "../../shared/host.ts";
import { ChannelConfigError } from "../../shared/errors.ts";

/** The parts of a `sqlite:` URI. */
export interface SqliteUri {
  /** `sqlite:` and the absolute path, percent-encoded. */
  readonly address: string;
  /** The absolute, normalized path. */
  readonly path: string;
  /** Whether the URI is `sqlite:` alone, which means the default path. */
  readonly isDefault: boolean;
  /** Whether the URI has `synchronous=full`. */
  readonly isFull: boolean;
}

const expected = "expected sqlite:PATH, or sqlite:PATH?synchronous=normal or full";

/**
 * Parses `sqlite:PATH`, with a path that is absolute or relative to the working directory; `sqlite:~/PATH`; or
 * `sqlite:` alone, for a path in the user's state directory. In PATH, the special characters of a URI (`%`, `?`,
 * `#`) are percent-encoded (RFC 3986).
 *
 * @throws {ChannelConfigError} that says what is wrong and what is expected
 */
export function parseSqliteUri(uri: string): SqliteUri {
  const fail = (problem: string): never => {
    throw new ChannelConfigError(`cannot use the URI ${uri}: ${problem}`);
  };
  const [, written, query] = /^sqlite:([^?#]*)(?:\?([^#]*))?$/i.exec(uri) ??
    fail(`it has a fragment (#); ${expected}`);
  const decoded = decode(written!, fail);
  const isDefault = decoded === "";
  const path = absolute(isDefault ? defaultPath(fail) : inHome(decoded, fail)) ??
    fail("this runtime has no files");
  return { address: `sqlite:${encode(path)}`, path, isDefault, isFull: isFull(query, fail) };
}

type Fail = (problem: string) => never;

function decode(written: string, fail: Fail): string {
  if (written === ":memory:") {
    fail(":memory: is not a path; for channels within this process use memory:");
  }
  // As in file: URIs (RFC 8089), an empty authority may precede an absolute path.
  const path = written.replace(/^\/\/(?=\/)/, "");
  if (path.startsWith("//")) fail(`it names a host; ${expected}`);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return fail("its path has a % that does not begin a percent-encoded character; write % as %25");
  }
  if (decoded.includes("\0")) fail("its path has a NUL; remove it");
  if (decoded.endsWith("/")) fail(`it names a directory; ${expected}`);
  return decoded;
}

function encode(path: string): string {
  return path.replace(/[%?#\s]/g, encodeURIComponent);
}

function inHome(path: string, fail: Fail): string {
  if (!path.startsWith("~/")) return path;
  return join(
    home() ?? fail("the home directory is unknown, or not granted; write the whole path"),
    path.slice(2),
  );
}

/**
 * Returns the path of `channelts/channels.db` in the user's state directory: `$XDG_STATE_HOME` or
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
    fail("the home directory is unknown, or --allow-env=HOME is not granted; name a path");
  if (platform() === "win32") return join(join(directory, "AppData"), "Local");
  if (platform() === "darwin") return join(join(directory, "Library"), "Application Support");
  return join(join(directory, ".local"), "state");
}

function isFull(query: string | undefined, fail: Fail): boolean {
  let full = false;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key !== "synchronous") fail(`it has an unknown parameter "${key}"; ${expected}`);
    const level = value.toLowerCase();
    if (level !== "normal" && level !== "full") {
      fail(`its parameter synchronous is "${value}"; ${expected}`);
    }
    full = level === "full";
  }
  return full;
}
