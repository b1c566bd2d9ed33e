// The way in for `deno task test`: run.ts COMMAND ARGS… runs `deno COMMAND ARGS…` with a broker in `BROKER`, and
// ends a `test` with a plain line "N passed, N failed". Whatever happens, nothing that it started stays.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Broker, findBroker } from "./broker.ts";
import { say } from "./keeper.ts";
import { readReport } from "./report.ts";

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

// Runs "$@" as the leader ($$) of its own session, which programs that tests start are in too. When stdin ends, it
// kills the session. If the leader is still there then, this runner is gone, and the folder $0 is nobody's.
const GUARD = `
exec 3<&0
{ read -r _ <&3; kill -0 $$ && rm -rf "$0"; kill -KILL 0; } > /dev/null 2>&1 &
exec 3<&-
exec "$@" < /dev/null`;

async function main(args: string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
    process.on(name, () => stop.abort(name)); // a second one changes nothing: stopping is bounded
  }
  let broker: Broker | undefined;
  let folder: string | undefined;
  try {
    broker = await findBroker({ signal: stop.signal });
    folder = mkdtempSync(join(tmpdir(), "channelts-run-")); // last, for the guard is not there yet
    const report = join(folder, "report.xml");
    const test = args[0] === "test";
    const command = test ? testCommand(args.slice(1), report) : args;
    const code = await runDeno(command, broker, folder, stop.signal);
    if (stop.signal.aborted) return stoppedBy(stop.signal.reason);
    if (!test) return code;
    const { passed, failed } = readReport(report, code);
    if (passed + failed === 0) process.stdout.write("there was no test to run\n");
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    return code || (passed + failed === 0 || failed > 0 ? 1 : 0);
  } catch (error) {
    if (stop.signal.aborted) return stoppedBy(stop.signal.reason);
    say(`error: ${(error as Error).message}`);
    return 1;
  } finally {
    await broker?.[Symbol.asyncDispose]();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
}

function stoppedBy(name: keyof typeof SIGNALS): number {
  say(`stopped by ${name}`);
  return SIGNALS[name];
}

/** `deno test` as this project runs it; `args` of the caller come last. */
function testCommand(args: string[], report: string): string[] {
  const frozen = args.some((arg) => arg.startsWith("--frozen")) ? [] : ["--frozen"];
  return ["test", "-A", "--doc", ...frozen, `--junit-path=${report}`, ...args];
}

async function runDeno(
  command: string[],
  broker: Broker,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn("/bin/sh", ["-c", GUARD, folder, process.execPath, ...command], {
    detached: true,
    stdio: ["pipe", "inherit", "inherit"],
    env: {
      ...process.env,
      BROKER: broker.uri,
      BROKER_CTL: broker.control ? JSON.stringify(broker.control) : "",
    },
  });
  const killSession = (name: "SIGINT" | "SIGKILL") => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // all of it is gone
    }
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    killSession("SIGINT");
    timer = setTimeout(() => killSession("SIGKILL"), 3000);
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
  signal.removeEventListener("abort", stop);
  clearTimeout(timer);
  killSession("SIGKILL"); // the guard, and what a failed test left behind
  return code;
}

process.exit(await main(process.argv.slice(2)));
