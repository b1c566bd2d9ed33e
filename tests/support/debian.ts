import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findProgram } from "./installation.ts";
import { cleanEnv, say } from "./keeper.ts";

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
