import { ChannelConfigError } from "../shared/errors.ts";
import { env, home, join, readText, type TextFile } from "../shared/host.ts";
import { emptyVariable } from "./config.ts";
import type { Settings } from "./settings.ts";

/** Both are in the home directory. ChannelPy uses the second. */
const FILES = [".channelts.yml", ".channelpy.yml"];

/** Returns the paths of the configuration files that need not be named, the first one first. */
export function usualFiles(): string[] {
  const directory = home();
  return directory === undefined ? [] : FILES.map((name) => join(directory, name));
}

/**
 * Returns the settings of the first configuration file that exists: the file that `CHANNELTS_CONFIG` names;
 * `~/.channelts.yml`; ChannelPy's `~/.channelpy.yml`. The parser is loaded when there is one.
 *
 * @throws {ChannelConfigError} or rejects with it, if the file is invalid
 */
export function settingsOfFile(): Promise<Settings> | undefined {
  const path = env("CHANNELTS_CONFIG");
  if (path !== undefined) return fromNamedFile(path);

  for (const path of usualFiles()) {
    const file = read(path);
    if ("text" in file) return parse(path, file.text);
  }
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
  const { parseConfigFile } = await import("./config_file.ts");
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
