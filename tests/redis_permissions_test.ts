// Programs on Redis need no permission of Deno but that for the addresses of the servers, and are never asked for one.

import { deepEqual, equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startChild } from "./support/child.ts";
import { freePorts } from "./support/net.ts";
import { quickstartOutput } from "./support/quickstart.ts";
import { startRedis } from "./support/redis.ts";
import { startRedisCluster } from "./support/redis_cluster.ts";
import { test } from "./support/test.ts";

const program = new URL("programs/permitted.ts", import.meta.url);

/** Lets a program put and get with only these flags. Returns what it reports. */
async function permitted(
  flags: readonly string[],
  ...args: string[]
): Promise<{ got?: string; error?: string; message?: string }> {
  await using child = startChild(program, { args, runtimeArgs: ["--no-prompt", ...flags] });
  return await child.next() as { got?: string };
}

const net = (...hosts: string[]) => [`--allow-net=${hosts.join(",")}`];

Deno.test("redis: a program needs only --allow-net for the server; without it, the error names the flag", async () => {
  await using redis = await startRedis();
  const host = `localhost:${redis.port}`;
  deepEqual(await permitted(net(host), `redis://${host}`), { got: "a value" });
  const { error, message } = await permitted(net("localhost:1"), `redis://${host}`);
  equal(error, "ChannelConnectionError");
  match(message!, new RegExp(`Deno does not permit .*; allow it with --allow-net=${host} `));
});

Deno.test("rediss: a program needs only --allow-net for the server; without it, the error names the flag", async () => {
  const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));
  const [port] = await freePorts(1);
  const conf = [
    `tls-port ${port}`,
    `tls-cert-file ${file("server.pem")}`,
    `tls-key-file ${file("server.key")}`,
    `tls-ca-cert-file ${file("ca.pem")}`,
    "tls-auth-clients no",
  ];
  await using _redis = await startRedis({ conf });
  const [host, ca] = [`localhost:${port}`, readFileSync(file("ca.pem"), "utf8")];
  const args = [`rediss://${host}`, JSON.stringify({ ca })];
  deepEqual(await permitted(net(host), ...args), { got: "a value" });
  const { message } = await permitted(net("localhost:1"), ...args);
  match(message!, new RegExp(`Deno does not permit .*; allow it with --allow-net=${host} `));
});

Deno.test("redis: a program on a cluster needs only --allow-net for its nodes; the error names one that is missing", async () => {
  await using cluster = await startRedisCluster();
  const hosts = cluster.nodes.map(({ server }) => `127.0.0.1:${server.port}`);
  const name = await cluster.nameOn(cluster.nodes[2]!);
  deepEqual(await permitted(net(...hosts), cluster.uri, "{}", name), { got: "a value" });
  const { error, message } = await permitted(
    net(...hosts.slice(0, 2)),
    cluster.uri,
    "{}",
    name,
  );
  equal(error, "ChannelConnectionError");
  match(message!, new RegExp(`Deno does not permit .*; allow it with --allow-net=${hosts[2]}\\b`));
});

const skip = spawnSync("script", ["--version"]).status !== 0 &&
  "script(1), which provides a terminal, is not installed";

test("redis: Deno does not prompt on a terminal", { skip }, async () => {
  await using redis = await startRedis();
  const file = fileURLToPath(new URL("../examples/quickstart.ts", import.meta.url));
  const words = [Deno.execPath(), "run", "--frozen", ...net(`127.0.0.1:${redis.port}`), file];
  const command = [...words, redis.uri].map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
  const { stdout } = await new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", command.join(" "), "/dev/null"],
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(60_000), // a prompt waits for ever
  }).output();
  equal(new TextDecoder().decode(stdout).replaceAll("\r", ""), quickstartOutput);
});
