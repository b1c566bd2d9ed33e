// Why a test cannot run here, for `skip` of `test.ts`: false where it can.

import { spawnSync } from "node:child_process";
import process from "node:process";
import { controlFromEnv } from "./control.ts";
import { collector } from "./garbage.ts";

/** For what only Deno has. */
export const noDeno: string | false = process.versions.deno === undefined && "only Deno has this";

/** For what no runtime decides, and takes long. */
export const decidedOnDeno: string | false = process.versions.deno === undefined &&
  "no runtime decides this: it runs on Deno";

/** For what asks a broker about itself, or commands it. */
export const noControl: string | false = controlFromEnv() === undefined &&
  "the given BROKER cannot be asked or commanded";

/** For what puts something on the way to a broker. */
export const noLocalBroker: string | false = !isLocal() &&
  "the given BROKER is not at 127.0.0.1 without TLS";

/** For what stops a process with signals, or asks which files one has open. */
export const onWindows: string | false = process.platform === "win32" &&
  "Windows cannot do this";

/** For what has garbage collected. */
export const noCollector: string | false = await collector() === undefined &&
  "this runtime does not let programs collect garbage";

/** For what runs Python. */
export function noPython(): string | false {
  return spawnSync("python3", ["--version"]).status !== 0 && "there is no python3";
}

function isLocal(): boolean {
  const { protocol, hostname } = new URL(process.env.BROKER ?? "none:");
  return protocol === "amqp:" && /^(localhost|127\.0\.0\.1)$/.test(hostname);
}
