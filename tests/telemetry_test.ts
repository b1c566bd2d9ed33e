// Spans and metrics of OpenTelemetry's SDK, with exporters into memory, in one process and across two.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { Channel, listen } from "../home.ts";
import { connectionsRest, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { decidedOnDeno } from "./support/conditions.ts";
import { noNpm, npmPackages } from "./support/npm.ts";
import { startRedis } from "./support/redis.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import type { FoundMetric, FoundSpan } from "./support/telemetry.ts";
import { test } from "./support/test.ts";

/** What `programs/traced.ts` reports. */
interface Found {
  readonly spans: readonly FoundSpan[];
  readonly metrics: readonly FoundMetric[];
  readonly notes: readonly object[];
}

const program = new URL("programs/traced.ts", import.meta.url);

/** Runs `programs/traced.ts` with each role in a process of its own. */
async function run(connection: string, name: string, roles: readonly string[]): Promise<Found[]> {
  const folder = await npmPackages("opentelemetry");
  const args = (role: string) => ({ args: [folder, connection, name, role] });
  const children = roles.map((role) => startChild(program, args(role)));
  try {
    for (const child of children) assert.equal(await within(child.next(), 60_000), "ready");
    return await Promise.all(
      children.map((child) => within(child.next() as Promise<Found>, 60_000)),
    );
  } finally {
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  }
}

/** Asserts that the spans of a put, a get, a receive and a request belong together. */
function assertLinked(
  found: readonly Found[],
  name: string,
  place: Readonly<Record<string, unknown>>,
): void {
  const spans = found.flatMap((each) => each.spans);
  const named = (title: string) => spans.filter((span) => span.name === title);
  const only = (title: string) => {
    assert.equal(named(title).length, 1, `${title}: ${spans.map((span) => span.name)}`);
    return named(title)[0]!;
  };
  const checkout = only("checkout");
  const request = only(`request ${name}`);
  const [first, second, third] = named(`put ${name}`);
  const [get, serve, processed] = [
    only(`get ${name}`),
    only(`serve ${name}`),
    only(`process ${name}`),
  ];
  const received = named(`receive ${name}`);
  assert.equal(spans.length, 12); // with two receives, and the three of the program
  assert.deepEqual(found.flatMap((each) => each.notes), [{ reply: "asked asked" }]);
  assert.deepEqual(spans.filter((span) => span.status !== 0), []);
  assert.ok(spans.every((span) => span.milliseconds >= 0));

  // The producer's side is one trace.
  for (const span of [first!, second!, request]) {
    assert.deepEqual([span.trace, span.parent], [checkout.trace, checkout.id]);
  }
  assert.deepEqual([third!.trace, third!.parent], [checkout.trace, request.id]);
  // A get is linked to the put; what processes a value belongs to the trace of its put.
  assert.deepEqual([get.links, received.map((span) => span.links)], [
    [first!.id],
    [[second!.id], [third!.id]],
  ]);
  assert.deepEqual([processed.trace, processed.parent, processed.links], [
    checkout.trace,
    second!.id,
    [second!.id],
  ]);
  assert.deepEqual([serve.trace, serve.parent], [checkout.trace, third!.id]);
  assert.deepEqual(only("render").parent, processed.id);
  assert.deepEqual(only("answer").parent, serve.id);

  // Kinds and attributes, as the conventions say.
  const kinds = [first!, get, processed, request, serve].map((span) => span.kind);
  assert.deepEqual(kinds, [3, 2, 4, 2, 4]);
  const common = (operation: string) => ({
    ...place,
    "messaging.operation.name": operation,
    "messaging.destination.name": name,
  });
  const isRabbit = place["messaging.system"] === "rabbitmq";
  const key = isRabbit ? { "messaging.rabbitmq.destination.routing_key": name } : {};
  const id = first!.attributes["messaging.message.id"];
  assert.match(String(id), /^cts\./);
  assert.deepEqual(first!.attributes, {
    ...common("put"),
    ...key,
    "messaging.operation.type": "send",
    "messaging.message.id": id,
  });
  assert.deepEqual(get.attributes, {
    ...common("get"),
    ...key,
    "messaging.operation.type": "receive",
    "messaging.message.id": id,
  });
  assert.deepEqual(processed.attributes, {
    ...common("process"),
    ...key,
    "messaging.operation.type": "process",
    "messaging.message.id": second!.attributes["messaging.message.id"],
    "channelts.attempts": 1,
    "channelts.outcome": "accepted",
  });

  // Metrics.
  const metrics = found.flatMap((each) => each.metrics);
  const counted = (metric: string, attributes: Readonly<Record<string, unknown>>) =>
    metrics.filter((each) => each.name === metric).flatMap(({ points }) => points)
      .filter((point) =>
        Object.entries(attributes).every(([key, value]) => point.attributes[key] === value)
      )
      .reduce((sum, { value }) => sum + (typeof value === "number" ? value : value.count), 0);
  assert.equal(counted("messaging.client.sent.messages", common("put")), 3);
  assert.equal(counted("messaging.client.consumed.messages", common("get")), 1);
  assert.equal(counted("messaging.client.consumed.messages", common("receive")), 2);
  for (
    const [operation, count] of [["put", 3], ["get", 1], ["receive", 2], ["request", 1]] as const
  ) {
    assert.equal(
      counted("messaging.client.operation.duration", common(operation)),
      count,
      operation,
    );
  }
  assert.equal(counted("messaging.process.duration", common("process")), 1);
  assert.equal(counted("messaging.process.duration", common("serve")), 1);
  for (const count of ["puts", "confirms"]) { // the reply, too
    assert.equal(counted(`channelts.connection.${count}`, place), 4, count);
  }
  assert.equal(counted("channelts.connection.redeliveries", place), 0);
  assert.equal(counted("channelts.connection.reconnects", place), 0);
  assert.equal(counted("channelts.connection.outstanding", place), 0);
  const depths = metrics.filter((each) => each.name === "channelts.channel.depth");
  assert.deepEqual(depths.flatMap(({ points }) => points.map(({ attributes }) => attributes)), [
    { ...place, "messaging.destination.name": name },
  ]);
}

/** Deletes the channel of a test. */
async function removed(connection: string, name: string): Promise<void> {
  await new Channel({ name, connection }).delete();
  await connectionsRest();
}

test("telemetry: memory, in one process", { skip: noNpm }, async () => {
  const name = `telemetry ${randomUUID()}`;
  const found = await run("memory:", name, ["both"]);
  assertLinked(found, name, { "messaging.system": "channelts", "channelts.transport": "memory" });
});

test("telemetry: a file, in two processes", { skip: noNpm }, async () => {
  const name = `telemetry ${randomUUID()}`;
  const uri = `sqlite:${join(sqliteDirectory(), "channels.db")}`;
  const found = await run(uri, name, ["putter", "getter"]);
  assertLinked(found, name, { "messaging.system": "channelts", "channelts.transport": "sqlite" });
});

test("telemetry: a broker, in two processes", { skip: noNpm }, async () => {
  const name = `telemetry ${randomUUID()}`;
  const uri = process.env.BROKER!;
  try {
    const { hostname, port } = new URL(uri.replace(/^amqps?:/, "http:"));
    assertLinked(await run(uri, name, ["putter", "getter"]), name, {
      "messaging.system": "rabbitmq",
      "channelts.transport": uri.slice(0, uri.indexOf(":")),
      "server.address": hostname,
      "server.port": Number(port || 5672),
    });
  } finally {
    await removed(uri, name);
  }
});

test("telemetry: a Redis, in two processes", { skip: noNpm || decidedOnDeno }, async () => {
  const name = `telemetry ${randomUUID()}`;
  await using server = await startRedis();
  const { uri } = server;
  assertLinked(await run(uri, name, ["putter", "getter"]), name, {
    "messaging.system": "redis",
    "channelts.transport": "redis",
    "server.address": "127.0.0.1",
    "server.port": Number(new URL(uri).port),
  });
  await removed(uri, name);
});

test("telemetry: a home, in two processes", { skip: noNpm }, async () => {
  const name = `telemetry ${randomUUID()}`;
  await using home = await listen("zmq://127.0.0.1:0", { connection: "memory:telemetry" });
  const uri = String(home.address);
  assertLinked(await run(uri, name, ["putter", "getter"]), name, {
    "messaging.system": "channelts",
    "channelts.transport": "zmq",
    "server.address": "127.0.0.1",
    "server.port": Number(new URL(uri.replace(/^zmq:/, "http:")).port),
  });
});
