/** The command doctor on RabbitMQ in good and in bad states: what it finds, and that it leaves nothing behind. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Channel, ChannelConnectionError } from "../mod.ts";
import { inspectorOf } from "../src/connection/inspect.ts";
import { operationsOn } from "../src/transports/amqp/inspection/permissions.ts";
import { connectionsRest, rejection } from "./conformance/fixture.ts";
import { brokerState } from "./support/broker_state.ts";
import { freePorts, startPrivateBroker } from "./support/broker.ts";
import { decidedOnFirstBroker, noControl, noLocalBroker } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalErlang } from "./support/erlang.ts";
import { Findings, findingsOf } from "./support/findings.ts";
import { waitUntil } from "./support/net.ts";
import { startProxy } from "./support/proxy.ts";
import { rawPut, withRaw } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addUser, addVhost, leastFor } from "./support/users.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;
const { port } = new URL(broker);

/** Runs a test on a channel whose queue the test declares, and deletes what belongs to it. */
async function withName(use: (name: string) => Promise<void>): Promise<void> {
  const name = `test.${randomUUID()}`;
  try {
    await use(name);
  } finally {
    await withRaw(broker, async (channel) => {
      await channel.exchangeDelete(name);
      for (const suffix of ["", ".dead-letters", ".closed.channelts"]) {
        await channel.queueDelete(name + suffix);
      }
    });
  }
}

test("doctor: a broker in order, and nothing is left on it", { skip: noControl }, async () => {
  const before = await brokerState(control);
  const findings = await findingsOf(broker, { name: `test.${randomUUID()}` });
  findings.assertWrong();
  const { product, version } = findings.of("broker").facts!;
  assert.equal(product, "RabbitMQ");
  assert.match(String(version), /^(3\.\d+|4\.\d+)\.\d+/);
  assert.deepEqual(findings.of("heartbeat").facts, { seconds: 30 });
  assert.deepEqual(findings.of("frame").facts, { bytes: 131_072 });
  assert.equal(findings.of("channel-max").facts!.channels, 2047);
  const bytes = String(version).startsWith("3") ? 128 << 20 : 16 << 20;
  assert.equal(findings.of("message-size").facts!.defaultBytes, bytes);
  const times = findings.of("round-trip").facts as Record<string, number>;
  assert.ok(
    times.shortest! > 0 && times.shortest! <= times.median! && times.median! <= times.longest!,
  );
  assert.deepEqual(findings.of("alarm").facts, { blocked: false });
  assert.deepEqual(findings.of("channel").facts, { exists: false });
  assert.deepEqual(findings.of("default-queue-type").facts, { type: "classic" });
  assert.equal(findings.of("deno").facts!.flags, `--allow-net=127.0.0.1:${port}`);
  const operations = operationsOn("x").map(({ title }) => title).join(", ");
  assert.equal(findings.of("permission").facts!.operations, operations);
  // The broker counts the end of a connection a moment later.
  let after = await brokerState(control);
  await waitUntil(async () => {
    after = await brokerState(control);
    return JSON.stringify(after) === JSON.stringify(before);
  }, 20_000);
  assert.deepEqual(after, before);
});

test("doctor: the parameters of the URI, a heartbeat of 0 and few AMQP channels", {
  skip: noControl,
}, async () => {
  const url = new URL(broker);
  url.search = "?heartbeat=0&frame_max=16384&channel_max=20";
  const findings = await findingsOf(url.href);
  findings.assertWrong("heartbeat");
  assert.match(findings.of("heartbeat").cure!, /heartbeat=0/);
  assert.deepEqual(findings.of("frame").facts, { bytes: 16_384 });
  assert.deepEqual(findings.of("channel-max").facts, { channels: 20 });
});

test(
  "doctor: what a user may not do, and which permission it needs",
  { skip: noControl },
  async (t) => {
    const name = `test.${randomUUID()}`;
    await using user = await addUser(control, broker, {});

    await t.step("nothing", async () => {
      const findings = await findingsOf(user.uri, { name });
      findings.assertWrong("permission");
      const { level, what, facts } = findings.of("permission");
      assert.equal(level, "problem");
      assert.match(what, /lacks the permission "configure" for queue amq\.gen-\.\*/);
      assert.equal(facts!.user, user.name);
    });

    await t.step("only what every connection needs: each further permission is named", async () => {
      await user.permit({
        configure: "^amq\\.gen-.*$",
        write: "^amq\\.gen-.*$",
        read: "^(amq\\.gen-.*|amq\\.direct)$",
      });
      const before = await brokerState(control);
      const findings = await findingsOf(user.uri, { name });
      const missing = findings.wrong.filter(({ about }) => about === "permission")
        .map(({ facts }) => `${facts!.permission} ${facts!.name}`);
      const needed = operationsOn(name).flatMap(({ needs }) => needs).map((need) => need.join(" "));
      assert.deepEqual(missing.sort(), [...new Set(needed)].sort());
      assert.deepEqual(findings.wrong.filter(({ level }) => level === "problem"), []);
      assert.deepEqual((await brokerState(control))!.queues, before!.queues);
      assert.deepEqual((await brokerState(control))!.exchanges, before!.exchanges);
    });

    await t.step("all but one: what it prevents is prevented, and nothing else", async () => {
      const all = leastFor(name, `${name}.dead-letters`, `${name}.closed.channelts`);
      const hex = "|^[0-9a-f]{32}$";
      await user.permit({
        configure: all.configure + hex,
        read: all.read + hex,
        write: all.write.replace("|amq\\.default", "") + "|^amq\\.direct$",
      });
      const findings = await findingsOf(user.uri, { name });
      findings.assertWrong("permission");
      const { what, cure } = findings.wrong[0]!;
      assert.match(what, /lacks the permission "write" for amq\.default, and cannot: put,/);
      assert.match(cure!, /add amq\\\.default to the pattern for write/);
      const allowed = findings.all.find(({ about, level }) =>
        about === "permission" && level === "ok"
      )!;
      const able = String(allowed.facts!.operations).split(", ");
      const prevented = operationsOn(name).filter(({ title }) => !able.includes(title));
      assert.ok(prevented.every(({ needs }) => needs.some(([, of]) => of === "amq.default")));
      assert.ok(able.includes("get") && able.includes("create the channel"));
      // It is so: the channel can be created and read, and a put is refused.
      const ch = new Channel<number>({ name, connection: user.uri });
      assert.equal(await ch.depth(), 0);
      assert.equal((await rejection(ch.put(1), ChannelConnectionError)).reason, "permission");
      await ch.delete();
      await ch.close();
      await connectionsRest();
    });
  },
);

Deno.test("doctor: what an operation needs is what docs/operations.md says", () => {
  const page = readFileSync(new URL("../docs/operations.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| (.+?) \| (.*?) \| (.*?) \| (.*?) \|$/gm)].map((row) =>
    row.slice(1)
  );
  const needsOf = (start: string) => {
    const row = rows.find(([title]) => title!.trim().startsWith(start));
    assert.ok(row, start);
    return ["configure", "write", "read"].flatMap((verb, i) =>
      [...row[i + 1]!.matchAll(/`([^`]+)`/g)].map(([, name]) =>
        `${verb} ${name!.replaceAll("\\", "")}`
      )
    ).sort();
  };
  const rowOf: Record<string, string> = {
    "create the channel": "creating the channel",
    "put": "`put`",
    "get": "`get`",
    "broadcast and close it": "`closeAll`, `broadcast`",
    "close it with drain": "`closeAll({ drain",
    "notice that it is drained": "using a channel that was drained",
    "use its dead letters": "`deadLetters`",
    "delete it": "`delete`",
    "request and use anonymous channels": "an anonymous channel",
  };
  for (const [title, row] of Object.entries(rowOf)) {
    const operation = operationsOn("jobs").find((one) => one.title === title)!;
    const needs = operation.needs.map(([verb, name]) =>
      `${verb} ${/^[0-9a-f]{32}$/.test(name) ? "[0-9a-f]{32}" : name}`
    );
    assert.deepEqual(needs.sort(), needsOf(row), title);
  }
});

test("doctor: limits of the user", { skip: noControl }, async () => {
  await using user = await addUser(control, broker, leastFor("x"));
  await user.limit({ "max-channels": 3 });
  const few = await findingsOf(user.uri);
  few.assertWrong("limit");
  assert.match(few.of("limit").cure!, /raise max-channels/);
  await user.limit({ "max-connections": 0 });
  const none = await findingsOf(user.uri);
  none.assertWrong("connection");
  assert.match(none.of("connection").cure!, /raise max-connections/);
});

test("doctor: no login, no vhost, no broker, no TLS", { skip: noLocalBroker }, async (t) => {
  const [closed] = await freePorts(1);
  const cases: [string, string, RegExp, RegExp][] = [
    [
      "a wrong password",
      `amqp://guest:hunter2@127.0.0.1:${port}`,
      /refused user guest/,
      /check user name and password/,
    ],
    [
      "an unknown vhost",
      `amqp://127.0.0.1:${port}/nowhere`,
      /vhost nowhere does not exist/,
      /add_vhost/,
    ],
    ["nothing listens", `amqp://127.0.0.1:${closed}`, /nothing listens/, /check that the broker/],
    ["an unknown host", "amqp://nohost.invalid", /nohost\.invalid is not known/, /check the name/],
    ["TLS without TLS", `amqps://127.0.0.1:${port}`, /does not speak TLS/, /amqp:/],
  ];
  for (const [title, uri, what, cure] of cases) {
    await t.step(title, async () => {
      const findings = await findingsOf(uri);
      findings.assertWrong("connection");
      const finding = findings.of("connection");
      assert.equal(finding.level, "problem");
      assert.match(finding.what, what);
      assert.match(finding.cure!, cure);
    });
  }
  await t.step("one node of two", async () => {
    const findings = await findingsOf(`amqp://127.0.0.1:${closed},127.0.0.1:${port}`);
    assert.deepEqual(findings.wrong.map(({ level, about }) => [level, about]), [[
      "warning",
      "connection",
    ]]);
    assert.equal(findings.of("alarm").level, "ok");
  });
});

test("doctor: the queue of a channel", { skip: noControl }, async (t) => {
  type Args = Record<string, string | number | boolean>;
  const declared: [string, Args, string[]][] = [
    ["a plain one", { "x-queue-type": "classic" }, []],
    ["one without a type", {}, []],
    [
      "a bounded one of ChannelTS",
      { "x-queue-type": "classic", "x-max-length": 7, "x-overflow": "reject-publish" },
      ["drops its oldest values when the broker restarts"],
    ],
    ["one that drops its oldest value", { "x-max-length": 7 }, ["drops its oldest value when"]],
    [
      "one of many arguments",
      {
        "x-message-ttl": 60_000,
        "x-expires": 600_000,
        "x-max-priority": 3,
        "x-single-active-consumer": true,
        "x-dead-letter-exchange": "dlx",
      },
      ["single active consumer", "drops values after 60000 ms"],
    ],
    [
      "a quorum queue with a limit",
      { "x-queue-type": "quorum", "x-delivery-limit": 5 },
      ["returned 5 times"],
    ],
    ["a quorum queue of another program", { "x-queue-type": "quorum" }, ["returned 20 times"]],
    ["a stream", { "x-queue-type": "stream" }, ["is a stream"]],
  ];
  await t.step(
    "declared by another program",
    () =>
      Promise.all(declared.map((one) => withName((name) => checkDeclared(name, ...one)))).then(
        () => {},
      ),
  );

  async function checkDeclared(name: string, title: string, args: Args, says: string[]) {
    await withRaw(broker, async (channel) => {
      await channel.queueDeclare(name, { durable: true }, args);
      await channel.exchangeDeclare(name, "fanout", { durable: true });
    });
    const findings = await findingsOf(broker, { name });
    const found = findings.all.find(({ about, level }) => about === "arguments" && level === "ok")!;
    assert.ok(found, `${title}: ${findings}`);
    const { type, durable, ...others } = found.facts!;
    const { "x-queue-type": declaredType = "classic", ...given } = args;
    assert.equal(type, declaredType);
    assert.equal(durable, true);
    if (type !== "stream") assert.deepEqual(others, given);
    const wrong = findings.wrong.map(({ what }) => what);
    assert.equal(wrong.length, says.length, `${title}: ${findings}`);
    for (const text of says) {
      assert.ok(wrong.some((what) => what.includes(text)), `${title}: ${wrong}`);
    }
  }

  await t.step(
    "a channel of ChannelTS, with values, dead letters and a consumer",
    () =>
      withName(async (name) => {
        const ch = new Channel<number>({ name, connection: broker });
        for (const value of [1, 2]) await ch.put(value);
        await rawPut(broker, name, [3]);
        const found = await findingsOf(broker, { name });
        found.assertWrong();
        const { messages, consumers, type } = found.of("channel").facts!;
        assert.deepEqual([messages, consumers, type], [3, 0, "classic"]);
        await withRaw(broker, (channel) => channel.queueDeclare(`${name}.dead-letters`));
        await rawPut(broker, `${name}.dead-letters`, [1]);
        (await findingsOf(broker, { name })).assertWrong("dead-letters");
        assert.equal(await ch.depth(), 3); // none was taken
        await ch.closeAll({ drain: true });
        (await findingsOf(broker, { name })).assertWrong("closed", "dead-letters");
        await ch.delete();
        await ch.close();
        await connectionsRest();
      }),
  );

  await t.step("an exchange of another type, and none", () =>
    withName(async (name) => {
      await withRaw(broker, (channel) => channel.queueDeclare(name, { durable: true }));
      assert.equal((await findingsOf(broker, { name })).of("exchange").level, "note");
      await withRaw(
        broker,
        (channel) => channel.exchangeDeclare(name, "direct", { durable: true }),
      );
      const findings = await findingsOf(broker, { name });
      findings.assertWrong("exchange");
      assert.match(findings.of("exchange").what, /of type direct, not fanout/);
    }));

  await t.step("a queue that is not durable", () =>
    withName(async (name) => {
      await withRaw(broker, (channel) =>
        channel.queueDeclare(name, { durable: false, autoDelete: true }));
      const wrong = (await findingsOf(broker, { name })).wrong.map(({ what }) =>
        what
      ).join();
      assert.match(wrong, /is not durable.*is deleted with its last consumer/);
    }));
});

test("doctor: a vhost whose default queue type is quorum", { skip: noControl }, async () => {
  await using vhost = await addVhost(control, broker, "quorum");
  const before = await brokerState(control);
  const findings = await findingsOf(vhost.uri);
  findings.assertWrong();
  assert.deepEqual(findings.of("default-queue-type").facts, { type: "quorum" });
  assert.deepEqual((await brokerState(control))!.queues, before!.queues);
});

test("doctor: an alarm", { skip: noControl }, async () => {
  const alarm = (verb: string) => `rabbit_alarm:${verb}`;
  const resource = "{resource_limit, memory, node()}";
  await evalErlang(control, alarm(`set_alarm({${resource}, []})`));
  try {
    const findings = await findingsOf(broker, { name: `test.${randomUUID()}` });
    findings.assertWrong("alarm");
    assert.equal(findings.of("alarm").level, "problem");
    assert.equal(findings.of("alarm").facts!.reason, "low on memory");
    assert.match(findings.of("alarm").what, /puts wait, and gets continue/);
    assert.ok(findings.has("round-trip") && findings.has("default-queue-type"));
  } finally {
    await evalErlang(control, alarm(`clear_alarm(${resource})`));
  }
  (await findingsOf(broker)).assertWrong();
});

test("doctor: a broker that is cut off or falls silent at any moment", {
  skip: noLocalBroker || decidedOnFirstBroker,
}, async () => {
  await using proxy = await startProxy(Number(port));
  const uri = `amqp://127.0.0.1:${proxy.port}`;
  const name = `test.${randomUUID()}`;
  for (const n of [1, 2, 3, 4, 5, 8, 12, 17, 23, 30, 40]) {
    proxy.cutEachIn("from", n);
    const findings = await findingsOf(uri, { name, timeout: 20_000 });
    const problems = findings.wrong.filter(({ about }) => /connection|alarm/.test(about));
    if (n < 12) assert.ok(problems.length > 0, `cut in frame ${n}: ${findings}`);
  }
  proxy.cutEachIn("from", undefined);
  (await findingsOf(uri, { name })).assertWrong();
  proxy.dropAll();
  const silent = await findingsOf(uri, { timeout: 300 });
  silent.assertWrong("connection");
  assert.match(silent.of("connection").what, /no answer within 300 ms/);

  const abort = new AbortController();
  const running = findingsOf(uri, { signal: abort.signal });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const reason = new Error("Ctrl-C");
  abort.abort(reason);
  await assert.rejects(running, (error) => error === reason);
});

test(
  "doctor: programs that are no broker, and what they say",
  { skip: decidedOnFirstBroker },
  async (t) => {
    const table = hostileProperties();
    const answers: [string, Uint8Array | undefined, RegExp][] = [
      [
        "HTTP",
        new TextEncoder().encode("HTTP/1.1 400 Bad\x1b[31m Request\r\n\r\n"),
        /not an AMQP 0-9-1/,
      ],
      ["AMQP 1.0", new Uint8Array([65, 77, 81, 80, 0, 1, 0, 0]), /another version of AMQP/],
      ["silence", undefined, /no answer within 500 ms/],
      ["a broker that sends control characters", table, /no answer within 500 ms/],
      ["a broken frame", table.slice(0, -1), /no answer within 500 ms/],
      [
        "random bytes",
        new Uint8Array([1, 0, 0, 255, 255, 255, 255, 3]),
        /no answer|AMQP|a frame of 4294967303 bytes/,
      ],
    ];
    for (const [title, answer, what] of answers) {
      await t.step(title, async () => {
        const sockets = new Set<Socket>();
        const server = createServer((socket) => {
          sockets.add(socket.on("error", () => {}));
          socket.once("data", () => answer && socket.write(answer));
        });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        try {
          const uri = `amqp://127.0.0.1:${(server.address() as AddressInfo).port}`;
          const findings = await findingsOf(uri, { timeout: 500 });
          assert.match(findings.of("connection").what, what);
          if (title.includes("control")) {
            assert.match(findings.of("broker").what, /is Evil\ufffd\[31mMQ/);
            assert.match(findings.of("login").what, /PLAIN, only EXTERNAL/);
          }
        } finally {
          for (const socket of sockets) socket.destroy();
          server.close();
        }
      });
    }
  },
);

/** Returns a frame with Connection.Start, whose properties have control characters. */
function hostileProperties(): Uint8Array {
  const encoder = new TextEncoder();
  const long = (bytes: Uint8Array) => [...uint32(bytes.length), ...bytes];
  const field = (name: string, value: string) => [
    name.length,
    ...encoder.encode(name),
    "S".charCodeAt(0),
    ...long(encoder.encode(value)),
  ];
  const table = new Uint8Array([
    ...field("product", "Evil\x1b[31mMQ"),
    ...field("version", "9\r\n9"),
    ...field("cluster_name", "x".repeat(100_000)),
  ]);
  const method = [
    ...[0, 10, 0, 10, 0, 9],
    ...long(table),
    ...long(encoder.encode("EXTERNAL")),
    ...long(encoder.encode("en_US")),
  ];
  return new Uint8Array([1, 0, 0, ...uint32(method.length), ...method, 206]);
}

function uint32(n: number): number[] {
  return [n >>> 24, n >> 16 & 255, n >> 8 & 255, n & 255];
}

test("doctor: TLS, and a broker that is stopped", { skip: decidedOnFirstBroker }, async (t) => {
  const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));
  const text = (name: string) => readFileSync(file(name), "utf8");
  const [tls] = await freePorts(1);
  await using node = await startPrivateBroker({
    conf: [
      `listeners.ssl.1 = 127.0.0.1:${tls}`,
      `ssl_options.cacertfile = ${file("ca.pem")}`,
      `ssl_options.certfile = ${file("server.pem")}`,
      `ssl_options.keyfile = ${file("server.key")}`,
    ],
  });
  await t.step("a certificate of an unknown authority", async () => {
    const findings = await findingsOf(`amqps://localhost:${tls}`);
    findings.assertWrong("connection");
    const { what, cure } = findings.of("connection");
    assert.match(what, /certificate of localhost:\d+ is not trusted/);
    assert.match(cure!, /NODE_EXTRA_CA_CERTS .* DENO_CERT/);
  });
  await t.step("amqp: where TLS is spoken", async () => {
    const findings = await findingsOf(`amqp://localhost:${tls}`, { timeout: 3000 });
    findings.assertWrong("connection");
    assert.match(findings.of("connection").cure!, /amqps:/);
  });
  await t.step("a trusted certificate, and its end", async () => {
    const findings = new Findings();
    const { inspector } = await inspectorOf(`amqps://localhost:${tls}`);
    await inspector!.inspect(`amqps://localhost:${tls}`, {
      transport: { ca: text("ca.pem") },
      timeout: 20_000,
      signal: new AbortController().signal,
      report: (finding) => findings.all.push(finding),
    });
    findings.assertWrong();
    assert.match(findings.of("tls").what, /^the connection is encrypted \(TLSv1\.[23]\)/);
    assert.ok(Number(findings.of("tls").facts!.days) > 30, String(findings));
  });
  await t.step("a broker that is stopped", async () => {
    node.suspend();
    try {
      const findings = await findingsOf(node.uri, { timeout: 1000 });
      findings.assertWrong("connection");
      const { what, cure } = findings.of("connection");
      assert.match(what, /does not answer as an AMQP broker \(no answer within 1000 ms\)/);
      assert.match(cure!, /check that it is one, and ready/);
    } finally {
      node.resume();
    }
  });
  await t.step("a broker that is down", async () => {
    await node.stop();
    const findings = await findingsOf(node.uri);
    findings.assertWrong("connection");
    assert.match(findings.of("connection").what, /nothing listens/);
  });
});
