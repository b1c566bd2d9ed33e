import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import process from "node:process";
import type { Broker } from "./broker.ts";
import { runCtl } from "./control.ts";
import { cleanEnv, logLine, Supervisor } from "./supervisor.ts";
import { probe, waitUntil } from "./net.ts";

// The minor version that the gate runs on, as in docker-compose.yml. This image itself has not been tested.
const IMAGE = "rabbitmq:4.3-management";

/** Reports whether a Docker engine answers. */
export async function dockerRuns(): Promise<boolean> {
  try {
    return await docker(["info", "--format", "{{.ServerVersion}}"], { timeout: 10_000 }) !== "";
  } catch {
    return false;
  }
}

/** Starts RabbitMQ in a container, on a free port of 127.0.0.1. Disposal removes the container. */
export async function startContainer(signal?: AbortSignal): Promise<Broker> {
  const present = await docker(["image", "inspect", IMAGE], {}).then(() => true, () => false);
  if (!present) {
    logLine(`pulling ${IMAGE} …`);
    // Not in the script, because this may take minutes and must stop on Ctrl-C.
    await docker(["pull", "--quiet", IMAGE], signal ? { signal } : {});
  }
  signal?.throwIfAborted();
  logLine("starting RabbitMQ in Docker …");
  const name = `channelts-test-${process.pid}-${randomBytes(4).toString("hex")}`;
  let state: "starting" | "started" | "gone" = "starting";
  const supervisor = new Supervisor("supervise_container.sh", [name, IMAGE], cleanEnv(), (line) => {
    if (line === "started") state = "started";
  });
  supervisor.gone.then(() => state = "gone");
  const alive = () => {
    if (state === "gone") throw new Error("the container ended");
  };
  try {
    const started = () => {
      alive();
      return state === "started";
    };
    if (!await waitUntil(started, 60_000, signal)) throw new Error("no container within 60 s");
    const published = await docker(["port", name, "5672/tcp"], {}); // for example 127.0.0.1:49153
    const port = Number(/:(\d+)\s*$/m.exec(published)?.[1]);
    // Docker's proxy accepts connections before the broker does, so only an answer counts.
    const answers = async () => {
      alive();
      return await probe("127.0.0.1", port, "amqp", 2000) === "yes";
    };
    if (!await waitUntil(answers, 120_000, signal)) throw new Error("no answer within 120 s");
    const control = { ctl: ["docker", "exec", name, "rabbitmqctl"], env: {} };
    return {
      uri: `amqp://127.0.0.1:${port}`,
      control,
      ctl: (...args) => runCtl(control, args),
      [Symbol.asyncDispose]: () => supervisor.close(),
    };
  } catch (error) {
    await supervisor.close();
    signal?.throwIfAborted();
    const why = [(error as Error).message, supervisor.stderr.trim()].filter(Boolean).join(": ");
    throw new Error(`starting ${IMAGE} in Docker failed: ${why}`, { cause: error });
  }
}

function docker(
  args: string[],
  options: { timeout?: number; signal?: AbortSignal },
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("docker", args, { ...options, env: cleanEnv() }, (error, stdout, stderr) => {
      if (error) reject(new Error(stderr.trim() || error.message, { cause: error }));
      else resolve(stdout.trim());
    });
  });
}
