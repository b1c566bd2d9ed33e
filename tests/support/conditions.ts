// Reasons why a test cannot run here, for `skip` of `test.ts`. Each is false if the test can run.

import { spawnSync } from "node:child_process";
import process from "node:process";
import { controlFromEnv } from "./control.ts";
import { collector } from "./garbage.ts";

/** For features that only Deno has. */
export const noDeno: string | false = process.versions.deno === undefined && "only Deno has this";

/** For slow tests whose result does not depend on the runtime. */
export const decidedOnDeno: string | false = process.versions.deno === undefined &&
  "the result does not depend on the runtime: the test runs on Deno";

/** For slow tests whose result depends on the engine only: Node has Deno's. */
export const decidedByV8: string | false = process.versions.deno === undefined &&
  process.versions.bun === undefined &&
  "the result depends on the JavaScript engine only: the test runs on Deno, which has the same";

/** For slow tests of files that use the broker, whose result does not depend on it. */
export const decidedOnFirstBroker: string | false = process.env.TEST_FURTHER === "yes" &&
  "the result does not depend on the broker: the test runs on the first one";

/** For tests that query or control the broker. */
export const noControl: string | false = controlFromEnv() === undefined &&
  "the given BROKER cannot be queried or controlled";

/** For tests that put a proxy before the broker. */
export const noLocalBroker: string | false = !isLocal() &&
  "the given BROKER is not at 127.0.0.1 without TLS";

/** For tests that stop a process with signals or list its open files. */
export const onWindows: string | false = process.platform === "win32" &&
  "Windows cannot do this";

/** For tests that collect garbage. */
export const noCollector: string | false = await collector() === undefined &&
  "this runtime does not let programs collect garbage";

/** For tests that run Python. */
export function noPython(): string | false {
  return spawnSync("python3", ["--version"]).status !== 0 && "python3 is not installed";
}

function isLocal(): boolean {
  const { protocol, hostname } = new URL(process.env.BROKER || "none:");
  return protocol === "amqp:" && /^(localhost|127\.0\.0\.1)$/.test(hostname);
}
