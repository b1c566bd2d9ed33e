import { ChannelConfigError } from "../shared/errors.ts";
import { env, home, join, readText, type TextFile } from "../shared/host.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { hasScheme } from "./schemes.ts";
import type { Settings } from "./settings.ts";

const DEFAULT: Settings = { uri: "memory:", source: "default" };
/** Both are in the home directory. ChannelPy uses the second. */
const FILES = [".channelts.yml", ".channelpy.yml"];

/** The module that parses configuration files. */
interface ConfigFileModule {
  parseConfigFile(path: string, text: string): Promise<Settings>;
}

let loadParser: (() => Promise<ConfigFileModule>) | undefined;

/**
 * Enables configuration files. An entry calls it that has a transport which a file can name: a bundle for browsers
 * contains no YAML.
 *
 * @param load loads `config_file.ts`; called when there is a file
 */
export function enableConfigFiles(load: () => Promise<ConfigFileModule>): void {
  loadParser ??= load;
}

/**
 * Returns the settings of the default connection. The first of these that exists is used: the environment variable
 * `CHANNELTS_URI`; the file that `CHANNELTS_CONFIG` names; `~/.channelts.yml`; ChannelPy's `~/.channelpy.yml`;
 * `memory:`.
 *
 * Deno never prompts for a permission: a variable or file without permission is skipped, except for a file that
 * `CHANNELTS_CONFIG` names. The result is a promise only if a file is parsed. It is not cached.
 *
 * @throws {ChannelConfigError} or rejects with it, if the first that exists is invalid
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
    if ("text" in file) return parse(path, file.text);
  }
  return DEFAULT;
}

function fromVariable(uri: string): Settings {
  if (hasScheme(uri)) return { uri, source: "CHANNELTS_URI" };
  if (uri === "") throw emptyVariable("CHANNELTS_URI", "memory:");
  throw new ChannelConfigError(
    `CHANNELTS_URI: found ${JSON.stringify(withoutCredentials(uri))}, ` +
      "expected a URI such as amqp://host:5672",
  );
}

/** A common cause is a variable that was set from another one, which is not set. */
function emptyVariable(name: string, alternative: string): ChannelConfigError {
  return new ChannelConfigError(
    `${name}: the variable is set and empty; unset it, or set it to ${alternative}`,
  );
}

function fromNamedFile(path: string): Promise<Settings> {
  if (path === "") throw emptyVariable("CHANNELTS_CONFIG", "the path of a file");
  // A URI is neither shown nor opened: it may contain a password, which the system's error would then contain.
  if (path.includes("://")) {
    throw new ChannelConfigError(
      "CHANNELTS_CONFIG: found a URI, expected the path of a file; " +
        "set CHANNELTS_URI for a URI",
    );
  }
  const file = read(path);
  if ("text" in file) return parse(path, file.text);
  throw new ChannelConfigError(
    `CHANNELTS_CONFIG: the file ${path} cannot be read: ${file.absent}`,
  );
}

async function parse(path: string, text: string): Promise<Settings> {
  if (loadParser === undefined) {
    throw new ChannelConfigError(
      `the configuration file ${path} cannot be used by "@channelts/channel/memory"; import from "@channelts/channel", ` +
        `or write { connection: "memory:" }`,
    );
  }
  const { parseConfigFile } = await loadParser();
  return await parseConfigFile(path, text);
}

function read(path: string): TextFile {
  try {
    return readText(path);
  } catch (cause) {
    const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown };
    let found = String(message);
    if (code === "EISDIR") found = "found a directory, expected a YAML file";
    if (code === "EACCES" || code === "EPERM") found = "this user may not read it";
    if (cause instanceof TypeError) found = "it is not UTF-8 text";
    throw new ChannelConfigError(`the configuration file ${path} cannot be read: ${found}`, {
      cause,
    });
  }
}
