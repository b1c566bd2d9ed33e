import { execFile } from "node:child_process";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { cleanEnv } from "./supervisor.ts";

/** How to run a broker's command-line tools. This is plain data: the runner passes it to the tests as JSON. */
export interface BrokerControl {
  /** rabbitmqctl, with its leading arguments. */
  readonly ctl: readonly string[];
  /** Erlang's `erl_call` with the node's name, if it is installed. It evaluates in 4 ms; rabbitmqctl takes 350 ms. */
  readonly erlCall?: readonly string[];
  /** The variables that both tools need. */
  readonly env: Readonly<Record<string, string>>;
}

/** The control of the broker in `BROKER`, which the runner put into `BROKER_CTL`; undefined for a given broker. */
export function controlFromEnv(): BrokerControl | undefined {
  const json = process.env.BROKER_CTL;
  return json ? JSON.parse(json) as BrokerControl : undefined;
}

/** Runs rabbitmqctl. Resolves with its output and rejects with its error output. */
export function runCtl(control: BrokerControl, args: string[]): Promise<string> {
  return connected(() => run(control.ctl, args, control));
}

/** Evaluates an Erlang expression that yields a base64 string, with the fastest tool that is installed. */
export async function evaluate(control: BrokerControl, expression: string): Promise<string> {
  const printed = control.erlCall
    ? await connected(() => run(control.erlCall!, ["-e"], control, expression))
    : await runCtl(control, ["eval", expression]);
  // The output is {ok, "…"} or "…"; rabbitmqctl breaks it into several strings, one in each line.
  const encoded = [...printed.matchAll(/"([A-Za-z0-9+/=]*)"/g)].map((match) => match[1]).join("");
  if (encoded === "") throw new Error(`the broker answered ${printed.trim()}`);
  return new TextDecoder().decode(Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0)));
}

/** How erl_call and rabbitmqctl say that they could not connect to the node. */
const UNCONNECTED = /failed to connect to node|unable to perform an operation on node/;

/**
 * Runs a tool. On a busy machine it may fail to connect to a healthy broker: then nothing has been done, and it runs
 * again, for ten seconds.
 */
async function connected(run: () => Promise<string>): Promise<string> {
  for (const last = Date.now() + 10_000;;) {
    try {
      return await run();
    } catch (error) {
      if (Date.now() > last || !UNCONNECTED.test(String(error))) throw error;
      await pause(200);
    }
  }
}

function run(
  command: readonly string[],
  args: string[],
  control: BrokerControl,
  input?: string,
): Promise<string> {
  const [file, ...leading] = command;
  return new Promise((resolve, reject) => {
    const child = execFile(
      file!,
      [...leading, ...args],
      { env: cleanEnv(control.env), timeout: 60_000, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const why = (stderr || stdout || error.message).trim();
        reject(new Error(`${file} ${args.join(" ")} failed: ${why}`, { cause: error }));
      },
    );
    child.stdin?.on("error", () => {}); // the tool ended without reading, which its exit code reports
    child.stdin?.end(input);
  });
}
