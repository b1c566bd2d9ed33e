import { ChannelConfigError } from "../shared/errors.ts";
import { env } from "../shared/host.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { hasScheme } from "./schemes.ts";
import type { Settings } from "./settings.ts";

/** Returns the settings of the first configuration file that exists. The result is a promise only if there is one. */
export type FileSettings = () => Settings | Promise<Settings> | undefined;

let fileSettings: FileSettings | undefined;

/** Enables configuration files. The entries ./memory, ./web and ./opentelemetry read none, and do not call it. */
export function enableConfigFiles(settingsOfFile: FileSettings): void {
  fileSettings = settingsOfFile;
}

/**
 * Returns the settings of the default connection. The first of these that exists is used: the environment variable
 * `CHANNELTS_URI`; a configuration file, if files are enabled; `memory:`.
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
  if (fileSettings === undefined && env("CHANNELTS_CONFIG") !== undefined) {
    throw new ChannelConfigError(
      'CHANNELTS_CONFIG: "@channelts/channel/memory" reads no files; import from "@channelts/channel"',
    );
  }
  return fileSettings?.() ?? { uri: "memory:", source: "default" };
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
export function emptyVariable(name: string, alternative: string): ChannelConfigError {
  return new ChannelConfigError(
    `${name}: the variable is set and empty; unset it, or set it to ${alternative}`,
  );
}
