import { execFile } from "node:child_process";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { cleanEnv } from "./keeper.ts";

/** How to run a broker's command line tools. Plain data: the runner hands it to the tests as JSON. */
export interface BrokerControl {
  /** rabbitmqctl, with its leading arguments. */
  readonly ctl: readonly string[];
  /** Erlang's `erl_call` with the node's name, where it is installed: it evaluates in 4 ms, rabbitmqctl in 350. */
  readonly erlCall?: readonly string[];
  /** Variables that both need. */
  readonly env: Readonly<Record<string, string>>;
}

/** The control of the broker in `BROKER`, as the runner put it into `BROKER_CTL`; undefined for a given broker. */
export function controlFromEnv(): BrokerControl | undefined {
  const json = process.env.BROKER_CTL;
  return json ? JSON.parse(json) as BrokerControl : undefined;
}

/** Runs rabbitmqctl; resolves with what it printed, rejects with what it complained of. */
export function runCtl(control: BrokerControl, args: string[]): Promise<string> {
  return run(control.ctl, args, control);
}

/** Evaluates an Erlang expression that yields a string of base64, by the fastest tool there is. */
export async function evaluate(control: BrokerControl, expression: string): Promise<string> {
  const printed = control.erlCall
    ? await call(control, control.erlCall, expression)
    : await run(control.ctl, ["eval", expression], control);
  // {ok, "…"} or "…", which rabbitmqctl breaks into several strings, one a line.
  const encoded = [...printed.matchAll(/"([A-Za-z0-9+/=]*)"/g)].map((match) => match[1]).join("");
  if (encoded === "") throw new Error(`the broker answered ${printed.trim()}`);
  return new TextDecoder().decode(Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0)));
}

/** On a busy machine erl_call fails to connect to a broker that is well, so it is called again for two seconds. */
async function call(control: BrokerControl, erlCall: readonly string[], expression: string) {
  for (let attempt = 1;; attempt++) {
    try {
      return await run(erlCall, ["-e"], control, expression);
    } catch (error) {
      if (attempt === 10 || !/failed to connect to node/.test(String(error))) throw error;
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
    child.stdin?.on("error", () => {}); // it ended without reading: its exit tells
    child.stdin?.end(input);
  });
}
