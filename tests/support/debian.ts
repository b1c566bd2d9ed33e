import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findProgram, type Installation, installationIn, versionOf } from "./installation.ts";
import { cleanEnv, Keeper, say } from "./keeper.ts";

/** Whether this process may install packages of Debian. */
export function mayInstall(): boolean {
  return process.getuid?.() === 0 && findProgram("apt-get") !== undefined;
}

/**
 * Installs Debian's rabbitmq-server; the package's own service is not started.
 *
 * @throws with the end of apt-get's output, or the signal's reason, when apt-get has ended
 */
export function installServer(signal?: AbortSignal): Promise<void> {
  say("installing Debian's package rabbitmq-server, without starting its service …");
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("install_debian.sh", import.meta.url));
    // In a session of its own: Ctrl-C must not hit dpkg at work; the script knows when to stop.
    const child = spawn("/bin/sh", [script], {
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
      reject(new Error(`apt-get could not install rabbitmq-server:\n${end}`));
    });
  });
}

/**
 * Has RabbitMQ as a suite of Debian has it, in a folder of its own below `TEST_CACHE`, by default the user's cache. It
 * is fetched and unpacked once, in about half a minute; nothing is installed, and root is not needed.
 *
 * @param suite such as `forky`
 * @throws where it cannot be fetched here: says why
 */
export async function unpackServer(suite: string, signal?: AbortSignal): Promise<Installation> {
  const folder = join(cacheFolder(), `rabbitmq-${suite}`);
  const bin = join(folder, "bin");
  if (existsSync(folder)) return installationIn(bin);
  const needed = ["apt-get", "dpkg-deb", "flock", "setsid", "realpath"];
  const missing = needed.filter((name) => !findProgram(name));
  if (missing.length > 0) {
    throw new Error(`fetching it takes a machine of Debian: this one has no ${missing.join(", ")}`);
  }
  say(`fetching RabbitMQ of Debian ${suite} into ${folder}, once: half a minute, 150 MB …`);
  const start = performance.now();
  let ready = false;
  const keeper = new Keeper("unpack_debian.sh", [suite, folder], cleanEnv(), (line) => {
    if (line === "ready") ready = true;
  });
  const stop = () => void keeper.close();
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  await keeper.gone;
  signal?.removeEventListener("abort", stop);
  signal?.throwIfAborted();
  if (!ready) {
    const lines = keeper.stderr.trim().split("\n");
    const errors = lines.filter((line) => line.startsWith("E: ")); // of apt-get
    const why = (errors.length > 0 ? errors.slice(0, 1) : lines.slice(-3)).join("; ");
    throw new Error(`Debian ${suite} could not be fetched: ${why}`);
  }
  const installation = installationIn(bin);
  const seconds = Math.round((performance.now() - start) / 1000);
  say(`RabbitMQ ${versionOf(installation)} of Debian ${suite} is there, after ${seconds} s`);
  return installation;
}

/** Where what is fetched once is kept. */
function cacheFolder(): string {
  const { TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return TEST_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "channelts-tests");
}
