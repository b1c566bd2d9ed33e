import { execFileSync } from "node:child_process";
import { accessSync, constants, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { cleanEnv } from "./supervisor.ts";

/** The programs of an installed RabbitMQ. */
export interface Installation {
  /** A rabbitmq-server that any user may run. */
  readonly server: string;
  /** rabbitmqctl. */
  readonly ctl: string;
  /** Erlang's port mapper. */
  readonly epmd: string;
  /** Erlang's fast evaluator, if it is installed. */
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
 * @returns undefined if the usual folders have none
 * @throws if the named folder lacks one of the programs
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

/** The RabbitMQ folders that `TEST_RABBITMQ` names, separated by ":". */
export function givenFolders(): string[] {
  return (process.env.TEST_RABBITMQ ?? "").split(":").filter(Boolean);
}

/**
 * Returns the RabbitMQ whose programs are all in one folder.
 *
 * @throws if a program is missing
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
 * The version of an installation, for example `4.3.6`, read from its files; undefined if unknown. rabbitmqctl
 * is not asked, because it would start an epmd that stays.
 */
export function versionOf({ server }: Installation): string | undefined {
  try {
    return readFileSync(join(dirname(server), "../version"), "utf8").trim(); // written by unpack_debian.sh
  } catch {
    return /rabbitmq(?:_server-|\/)(\d+(?:\.\d+)*)\//.exec(realpathSync(server))?.[1];
  }
}

/** The path of an executable in the first folder that has it, by default in the folders of PATH. */
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
      // not in this folder
    }
  }
  return undefined;
}

/** Asks Erlang for the folder of its programs. */
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
