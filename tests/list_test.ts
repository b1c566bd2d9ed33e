import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelConnectionError, Connection } from "../mod.ts";
import { connectionFor } from "../src/connection/configured.ts";
import type { SharedConnection } from "../src/connection/shared_connection.ts";
import { readJsonReference, writeJsonReference } from "../src/encoding/json_format.ts";
import type { Reference } from "../src/encoding/reference.ts";
import { connectionsRest, rejection } from "./conformance/fixture.ts";
import { freePorts } from "./support/broker.ts";

const broker = new URL(process.env.BROKER!);
const name = () => `test ${randomUUID()}`;
const shared = (uri: string) => connectionFor(uri) as SharedConnection;

Deno.test("the first host of a list that answers is used, whatever its place", async () => {
  const [dead, other] = await freePorts(2);
  const live = new URL(broker);
  for (const hosts of [`127.0.0.1:${dead},${live.host}`, `${live.host},127.0.0.1:${other}`]) {
    const connection = live.href.replace(live.host, hosts);
    const ch = new Channel<string>({ name: name(), connection });
    await ch.put("a value");
    assert.equal(await ch.get(), "a value", hosts);
    await ch.delete();
  }
  await connectionsRest();
});

Deno.test("if no host of a list answers, the error gives each host's reason", async () => {
  const [one, two] = await freePorts(2);
  const connection = `amqp://u:hunter2@127.0.0.1:${one},no-such-host.invalid,127.0.0.1:${two}/v`;
  const ch = new Channel<string>({ connection, retryTimeout: 0 });
  const error = await rejection(ch.put("a value"), ChannelConnectionError, { transient: true });
  assert.match(error.message, new RegExp(`nothing listens on 127.0.0.1:${one}; `));
  assert.match(error.message, /the host name no-such-host.invalid is not known/);
  assert.match(error.message, new RegExp(`nothing listens on 127.0.0.1:${two}; `));
  assert.doesNotMatch(error.message, /hunter2/);
  await ch.close();
});

Deno.test("a URL object may be a list if URL accepts it, also for a Connection", () => {
  const url = new URL("amqp://u:p@A,b:5673/v");
  assert.equal(shared(url.href).address, "amqp://a:5672,b:5673/v");
  assert.equal(connectionFor(url), shared(url.href));
  assert.equal(new Connection(url).address, "amqp://a:5672,b:5673/v");
  assert.equal(new Connection("amqp://[::1],b").address, "amqp://[::1]:5672,b:5672/%2F");
});

Deno.test("a JSON reference names one host of a list, and any of its hosts means the list", () => {
  const carrier = shared("amqp://carrier");
  const list = shared("amqp://one.example,two.example:5673,[::1]/list");
  const target: Reference = { name: "inner", connection: list, encoding: "json" };
  const written = writeJsonReference(target, carrier);
  assert.deepEqual(written["connection_args"], { uri: "amqp://one.example:5672/list" });
  assert.equal(readJsonReference(written, carrier).connection, list);
  const read = (uri: string, from = carrier) =>
    readJsonReference({ name: "inner", connection_args: { uri } }, from).connection;
  assert.equal(read("amqp://u:p@TWO.example:5673/list"), list);
  assert.equal(read("amqp://[::1]/list"), list);
  assert.equal(read(list.address), list);
  assert.equal(read("amqp://[::1]/list", list), list);
  for (const stranger of ["amqp://two.example/list", "amqp://one.example", "amqps://[::1]/list"]) {
    assert.equal(read(stranger), carrier, stranger);
  }
});
