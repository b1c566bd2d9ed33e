import { ChannelConfigError } from "../shared/errors.ts";
import { env, home, join, type Reading, readText } from "../shared/host.ts";
import { hasScheme, parseConfigFile } from "./config_file.ts";
import { withoutCredentials } from "../shared/redact.ts";
import type { Settings } from "./settings.ts";

const DEFAULT: Settings = { uri: "memory:", source: "default" };
/** The second is ChannelPy's. */
const FILES = [".channelts.yml", ".channelpy.yml"];

/**
 * The connection to use where none is given. The first of these that is there wins: the environment
 * variable `CHANNELTS_URI`; the file that `CHANNELTS_CONFIG` names, or else `~/.channelts.yml`, or
 * else ChannelPy's `~/.channelpy.yml`; `memory:`.
 *
 * It never causes a Deno permission prompt: what is not granted is skipped, except for a file that
 * `CHANNELTS_CONFIG` names. The result is a promise only where a file has to be parsed, and it is
 * not cached.
 *
 * @throws ChannelConfigError (a promise rejects with it) if what is there cannot be used
 *
 * @example
 * ```ts ignore
 * const { uri, source } = await settings();
 * ```
 */
export function settings(): Settings | Promise<Settings> {
  const uri = env("CHANNELTS_URI");
  if (uri !== undefined) return fromVariable(uri);

  const path = env("CHANNELTS_CONFIG");
  if (path !== undefined) return fromNamedFile(path);

  const directory = home();
  if (directory === undefined) return DEFAULT;
  for (const name of FILES) {
    const path = join(directory, name);
    const file = read(path);
    if ("text" in file) return parseConfigFile(path, file.text);
  }
  return DEFAULT;
}

function fromVariable(uri: string): Settings {
  if (hasScheme(uri)) return { uri, source: "CHANNELTS_URI" };
  if (uri === "") throw emptyVariable("CHANNELTS_URI", "memory:");
  throw new ChannelConfigError(
    `Cannot use CHANNELTS_URI: found ${JSON.stringify(withoutCredentials(uri))}, ` +
      "expected a URI such as amqp://host:5672",
  );
}

/** Most often it was set to another variable, which is not there. */
function emptyVariable(name: string, alternative: string): ChannelConfigError {
  return new ChannelConfigError(
    `Cannot use ${name}: it is set, and empty; unset it, or set it to ${alternative}`,
  );
}

function fromNamedFile(path: string): Promise<Settings> {
  if (path === "") throw emptyVariable("CHANNELTS_CONFIG", "the path of a file");
  // Not shown, and not tried: it may hold a password, which the system's error would then carry.
  if (path.includes("://")) {
    throw new ChannelConfigError(
      "Cannot use CHANNELTS_CONFIG: found a URI, expected the path of a file; " +
        "a URI goes into CHANNELTS_URI",
    );
  }
  const file = read(path);
  if ("text" in file) return parseConfigFile(path, file.text);
  throw new ChannelConfigError(
    `Cannot read the configuration ${path}, which CHANNELTS_CONFIG names: ${file.absent}`,
  );
}

function read(path: string): Reading {
  try {
    return readText(path);
  } catch (cause) {
    const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown };
    let found = String(message);
    if (code === "EISDIR") found = "found a directory, expected a YAML file";
    if (code === "EACCES" || code === "EPERM") found = "this user may not read it";
    if (cause instanceof TypeError) found = "it is not UTF-8 text";
    throw new ChannelConfigError(`Cannot read the configuration ${path}: ${found}`, { cause });
  }
}
