import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import process from "node:process";
import type { Broker } from "./broker.ts";
import { runCtl } from "./control.ts";
import { cleanEnv, Keeper, say } from "./keeper.ts";
import { probe, waitUntil } from "./net.ts";

// The minor version that the gate runs on, as docker-compose.yml has it. This image itself has not been tried.
const IMAGE = "rabbitmq:4.3-management";

/** Whether a Docker engine answers. */
export async function dockerRuns(): Promise<boolean> {
  try {
    return await docker(["info", "--format", "{{.ServerVersion}}"], { timeout: 10_000 }) !== "";
  } catch {
    return false;
  }
}

/** Starts RabbitMQ in a container of its own, on a free port of 127.0.0.1, removed on disposal. */
export async function startContainer(signal?: AbortSignal): Promise<Broker> {
  const present = await docker(["image", "inspect", IMAGE], {}).then(() => true, () => false);
  if (!present) {
    say(`pulling ${IMAGE} …`);
    // Apart from the keeper, because this may take minutes and must give way to Ctrl-C.
    await docker(["pull", "--quiet", IMAGE], signal ? { signal } : {});
  }
  signal?.throwIfAborted();
  say("starting RabbitMQ in Docker …");
  const name = `channelts-test-${process.pid}-${randomBytes(4).toString("hex")}`;
  let state: "starting" | "started" | "gone" = "starting";
  const keeper = new Keeper("keep_container.sh", [name, IMAGE], cleanEnv(), (line) => {
    if (line === "started") state = "started";
  });
  keeper.gone.then(() => state = "gone");
  const alive = () => {
    if (state === "gone") throw new Error("the container ended");
  };
  try {
    const started = () => {
      alive();
      return state === "started";
    };
    if (!await waitUntil(started, 60_000, signal)) throw new Error("no container within 60 s");
    const published = await docker(["port", name, "5672/tcp"], {}); // 127.0.0.1:49153
    const port = Number(/:(\d+)\s*$/m.exec(published)?.[1]);
    // Docker's proxy accepts connections before the broker does: only an answer counts.
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
      [Symbol.asyncDispose]: () => keeper.close(),
    };
  } catch (error) {
    await keeper.close();
    signal?.throwIfAborted();
    const why = [(error as Error).message, keeper.stderr.trim()].filter(Boolean).join(": ");
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
