import { execFileSync } from "node:child_process";
import { accessSync, constants, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { cleanEnv } from "./keeper.ts";

/** The programs of an installed RabbitMQ. */
export interface Installation {
  /** rabbitmq-server, one that any user may run. */
  readonly server: string;
  /** rabbitmqctl. */
  readonly ctl: string;
  /** Erlang's port mapper. */
  readonly epmd: string;
  /** Erlang's fast evaluator, where it is there. */
  readonly erlCall?: string;
}

// Packages of distributions install a wrapper in /usr/sbin that changes the user, so their own folder comes first.
const SERVER_FOLDERS = [
  "/usr/lib/rabbitmq/bin",
  ...(process.env.PATH ?? "").split(":"),
  "/opt/homebrew/sbin",
  "/opt/homebrew/opt/rabbitmq/sbin",
  "/usr/local/sbin",
  "/usr/local/opt/rabbitmq/sbin",
  "/home/linuxbrew/.linuxbrew/sbin",
];

const ERLANG_FOLDERS = [
  ...(process.env.PATH ?? "").split(":"),
  "/usr/lib/erlang/bin",
  "/opt/homebrew/opt/erlang/lib/erlang/bin",
  "/usr/local/opt/erlang/lib/erlang/bin",
  "/usr/local/lib/erlang/bin",
  "/home/linuxbrew/.linuxbrew/opt/erlang/lib/erlang/bin",
];

/**
 * Finds an installed RabbitMQ: the first that `TEST_RABBITMQ` names, else one in the usual folders.
 *
 * @returns undefined where none is in the usual folders
 * @throws where the folder that is named lacks one of the programs
 */
export function findInstallation(): Installation | undefined {
  const [given] = givenFolders();
  if (given) return installationIn(given);
  const server = findProgram("rabbitmq-server", SERVER_FOLDERS);
  if (!server) return undefined;
  const ctl = findProgram("rabbitmqctl", [dirname(server), dirname(realpathSync(server))]);
  const epmd = findProgram("epmd", ERLANG_FOLDERS) ?? findProgram("epmd", runtimeFolder());
  if (!ctl || !epmd) return undefined;
  const erlCall = findProgram("erl_call", ERLANG_FOLDERS);
  return { server, ctl, epmd, ...erlCall ? { erlCall } : {} };
}

/** The folders of RabbitMQs that `TEST_RABBITMQ` names, with ":" between them. */
export function givenFolders(): string[] {
  return (process.env.TEST_RABBITMQ ?? "").split(":").filter(Boolean);
}

/**
 * The RabbitMQ whose programs are all in one folder.
 *
 * @throws where one is missing
 */
export function installationIn(folder: string): Installation {
  const find = (name: string) => {
    const program = findProgram(name, [folder]);
    if (program) return program;
    throw new Error(
      `TEST_RABBITMQ: ${folder} has no ${name}; name the absolute path of a folder that has ` +
        "rabbitmq-server, rabbitmqctl and epmd",
    );
  };
  const programs = {
    server: find("rabbitmq-server"),
    ctl: find("rabbitmqctl"),
    epmd: find("epmd"),
  };
  const erlCall = findProgram("erl_call", [folder]);
  return { ...programs, ...erlCall ? { erlCall } : {} };
}

/**
 * The version of an installation, such as `4.3.6`, by its files; undefined where they do not tell. rabbitmqctl would start
 * an epmd, which would stay.
 */
export function versionOf({ server }: Installation): string | undefined {
  try {
    return readFileSync(join(dirname(server), "../version"), "utf8").trim(); // of unpack_debian.sh
  } catch {
    return /rabbitmq(?:_server-|\/)(\d+(?:\.\d+)*)\//.exec(realpathSync(server))?.[1];
  }
}

/** The path of an executable in the first of the folders that has it, by default those of PATH. */
export function findProgram(
  name: string,
  folders: string[] = (process.env.PATH ?? "").split(":"),
): string | undefined {
  for (const folder of folders) {
    if (!folder.startsWith("/")) continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/** Asks Erlang where its own programs are. */
function runtimeFolder(): string[] {
  const erl = findProgram("erl", ERLANG_FOLDERS);
  if (!erl) return [];
  const ask =
    `io:put_chars([code:root_dir(), "/erts-", erlang:system_info(version), "/bin"]), halt().`;
  try {
    const options = { env: cleanEnv(), encoding: "utf8", timeout: 10_000 } as const;
    return [execFileSync(erl, ["-noinput", "-eval", ask], options).trim()];
  } catch {
    return [];
  }
}
