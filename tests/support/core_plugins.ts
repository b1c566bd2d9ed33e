import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Installation } from "./installation.ts";

/** What a node without plugins runs. */
const ROOTS = ["rabbit", "rabbitmq_prelaunch"];

/**
 * Makes a folder like that of the installed RabbitMQ, with links to its files, but without plugins. Erlang looks for each
 * module in each folder of the installation, so a node without the 50 folders of plugins starts in two thirds of the time.
 *
 * @param folder the folder to make
 * @returns the folder of the server's scripts for `RABBITMQ_SCRIPTS_DIR`; undefined if the installation has another form
 */
export function corePlugins(installation: Installation, folder: string): string | undefined {
  const home = homeOf(installation);
  if (home === undefined) return undefined;
  const all = join(home, "plugins");
  const folders = new Map(readdirSync(all).map((each) => [each.replace(/-[^-]*$/, ""), each]));
  const core = new Set<string>();
  const add = (name: string) => {
    const found = folders.get(name);
    if (found === undefined || core.has(found)) return; // Erlang's own have another place
    core.add(found);
    const app = readFileSync(join(all, found, "ebin", `${name}.app`), "utf8");
    const needed = /\{\s*applications\s*,\s*\[([^\]]*)\]/.exec(app)?.[1] ?? "";
    for (const each of needed.matchAll(/\w+/g)) add(each[0]);
  };
  try {
    for (const name of ROOTS) add(name);
  } catch {
    return undefined; // its plugins are archives
  }
  mkdirSync(join(folder, "plugins"), { recursive: true });
  for (const each of core) symlinkSync(join(all, each), join(folder, "plugins", each));
  for (const each of ["sbin", "escript"]) symlinkSync(join(home, each), join(folder, each));
  return join(folder, "sbin");
}

/** Returns the folder that has `sbin` and `plugins`: that of the server's program, or below the folder that is unpacked beside. */
function homeOf({ server }: Installation): string | undefined {
  const beside = join(dirname(server), "../root/usr/lib/rabbitmq/bin/rabbitmq-server");
  const home = dirname(dirname(realpathSync(existsSync(beside) ? beside : server)));
  const has = (path: string) => existsSync(join(home, path));
  return has("plugins") && has("escript") && has("sbin/rabbitmq-env") ? home : undefined;
}
