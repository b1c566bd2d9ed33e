import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findProgram, type Installation, installationIn, versionOf } from "./installation.ts";
import { cleanEnv, logLine, Supervisor } from "./supervisor.ts";

/** Reports whether this process may install packages of Debian. */
export function mayInstall(): boolean {
  return process.getuid?.() === 0 && findProgram("apt-get") !== undefined;
}

/**
 * Installs Debian's rabbitmq-server without starting the package's service, and python3-cbor2, with which a test reads
 * in Python what the codec writes.
 *
 * @throws as {@linkcode installPackage} does
 */
export function installServer(signal?: AbortSignal): Promise<void> {
  return installPackage("rabbitmq-server", ["python3-cbor2"], signal);
}

/**
 * Installs a package of Debian without starting a service, and others, each if it can be installed.
 *
 * @throws the end of apt-get's output, or the signal's reason once apt-get has ended
 */
export function installPackage(
  name: string,
  others: readonly string[] = [],
  signal?: AbortSignal,
): Promise<void> {
  logLine(`installing Debian's package ${name} …`);
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("install_debian.sh", import.meta.url));
    // In a session of its own, so that Ctrl-C does not interrupt dpkg; the script knows when it can stop.
    const child = spawn("/bin/sh", [script, name, ...others], {
      detached: true,
      env: cleanEnv(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (data) => output += data);
    child.stderr.on("data", (data) => output += data);
    const stop = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", stop);
    child.once("error", reject);
    child.once("close", (code) => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) return reject(signal.reason);
      if (code === 0) return resolve();
      const end = output.trim().split("\n").slice(-20).join("\n");
      reject(new Error(`apt-get could not install ${name}:\n${end}`));
    });
  });
}

/**
 * Returns the RabbitMQ of a suite of Debian, in a folder of its own below `TEST_CACHE`, by default the user's cache. It
 * is fetched and unpacked once, in about half a minute. Nothing is installed, and root is not needed.
 *
 * @param suite for example `forky`
 * @throws with the reason if it cannot be fetched
 */
export async function unpackServer(suite: string, signal?: AbortSignal): Promise<Installation> {
  const folder = join(cacheFolder(), `rabbitmq-${suite}`);
  const bin = join(folder, "bin");
  if (existsSync(folder)) return installationIn(bin);
  logLine(`fetching RabbitMQ of Debian ${suite} into ${folder}, once: half a minute, 150 MB …`);
  const start = performance.now();
  await unpack([suite, folder, "rabbitmq-server"], signal);
  const installation = installationIn(bin);
  const seconds = Math.round((performance.now() - start) / 1000);
  logLine(`RabbitMQ ${versionOf(installation)} of Debian ${suite} is ready after ${seconds} s`);
  return installation;
}

/**
 * Returns the folder of the programs of packages of a suite of Debian, such as `redis-server` and `valkey-server`. They are
 * fetched and unpacked once, as {@linkcode unpackServer} does.
 *
 * @param name the name of the folder below `TEST_CACHE`
 * @throws with the reason if they cannot be fetched
 */
export async function unpackPrograms(
  suite: string,
  name: string,
  packages: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const folder = join(cacheFolder(), name);
  if (!existsSync(folder)) {
    logLine(`fetching ${packages.join(" and ")} of Debian ${suite} into ${folder}, once …`);
    await unpack([suite, folder, ...packages], signal);
  }
  return join(folder, "bin");
}

/**
 * Returns the folder of a package of the Debian that this machine runs, with those of its dependencies that are not
 * installed, below `TEST_CACHE`. It is fetched and unpacked once. Nothing is installed, and root is not needed.
 *
 * @throws with the reason if it cannot be fetched
 */
export async function unpackPackage(name: string): Promise<string> {
  const folder = join(cacheFolder(), name);
  if (!existsSync(folder)) {
    logLine(`fetching Debian's package ${name} into ${folder}, once …`);
    await unpack(["own", folder, name]);
  }
  return join(folder, "root");
}

/** Runs unpack_debian.sh with arguments. @throws with the reason if it fails, or the reason of the signal */
async function unpack(args: string[], signal?: AbortSignal): Promise<void> {
  const needed = ["apt-get", "dpkg-deb", "flock", "setsid", "realpath"];
  const missing = needed.filter((name) => !findProgram(name));
  if (missing.length > 0) {
    throw new Error(`fetching it needs Debian: this machine has no ${missing.join(", ")}`);
  }
  let ready = false;
  const supervisor = new Supervisor("unpack_debian.sh", args, cleanEnv(), (line) => {
    if (line === "ready") ready = true;
  });
  const stop = () => void supervisor.close();
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  await supervisor.gone;
  signal?.removeEventListener("abort", stop);
  signal?.throwIfAborted();
  if (ready) return;
  const lines = supervisor.stderr.trim().split("\n");
  const errors = lines.filter((line) => line.startsWith("E: ")); // of apt-get
  const why = (errors.length > 0 ? errors.slice(0, 1) : lines.slice(-3)).join("; ");
  throw new Error(`Debian's packages could not be fetched: ${why}`);
}

/** The folder for fetched files. */
export function cacheFolder(): string {
  const { TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return TEST_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "channelts-tests");
}
