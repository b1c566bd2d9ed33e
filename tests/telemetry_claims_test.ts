// What docs/telemetry.md says of single operations: their spans, parents, links, status and metrics, in one process.

import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Channel, pipe, select, serve, trySelect } from "../mod.ts";
import {
  contextOf,
  instrument,
  type Instrumented,
  type InstrumentOptions,
  processing,
} from "../opentelemetry.ts";
import "../sqlite.ts";
import { RawChannel } from "../src/channel/raw_channel.ts";
import { until } from "./conformance/fixture.ts";
import { runCli } from "./support/cli.ts";
import { noNpm, npmPackages } from "./support/npm.ts";
import { skipMark } from "./support/report.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import { type FoundMetric, type StartedTelemetry, startTelemetry } from "./support/telemetry.ts";

// deno-lint-ignore no-explicit-any -- the packages are not the project's
type Untyped = any;

/** The kinds of spans that the page names. */
const [client, producer, consumer] = [2, 3, 4];
const failed = 2;

let load: (name: string) => Untyped;
let started: StartedTelemetry | undefined;

/** What a test gets: the SDK, and a name for its channel. */
interface Fixture {
  readonly telemetry: StartedTelemetry;
  readonly instrumented: Instrumented;
  readonly name: string;
}

/** Declares a test with telemetry into memory. */
function traced(
  title: string,
  body: (fixture: Fixture) => Promise<void>,
  options: InstrumentOptions = {},
): void {
  const name = `telemetry: ${title}${noNpm ? skipMark(noNpm) : ""}`;
  // Channels keep timers for a moment, and a file its watcher.
  const unsanitized = { ignore: Boolean(noNpm), sanitizeOps: false, sanitizeResources: false };
  Deno.test(name, unsanitized, async () => {
    load ??= createRequire(join(await npmPackages("opentelemetry"), "none.js"));
    const telemetry = started ??= startTelemetry(load);
    telemetry.reset();
    const instrumented = instrument(options);
    try {
      await body({ telemetry, instrumented, name: `claims ${randomUUID()}` });
    } finally {
      instrumented.stop();
    }
  });
}

/** The channel of a test, in memory. */
function channel<T = unknown>(name: string, options: object = {}): Channel<T> {
  return new Channel<T>({ name, connection: "memory:", ...options });
}

/** Returns the ended spans of a title, in the order of their ends. */
function named(telemetry: StartedTelemetry, title: string) {
  return telemetry.spans().filter((span) => span.name === title);
}

/** Returns the only ended span of a title. */
function only(telemetry: StartedTelemetry, title: string) {
  const spans = named(telemetry, title);
  equal(spans.length, 1, `${title}: ${telemetry.spans().map((span) => span.name)}`);
  return spans[0]!;
}

/** Returns the points of a metric with some attributes. */
function points(
  metrics: readonly FoundMetric[],
  name: string,
  attributes: Readonly<Record<string, unknown>>,
) {
  return metrics.filter((metric) => metric.name === name).flatMap((metric) => metric.points)
    .filter((point) =>
      Object.entries(attributes).every(([key, value]) => point.attributes[key] === value)
    );
}

/** Serves a channel while `run` runs. */
async function serving(
  ch: Channel<unknown>,
  handler: (value: unknown) => unknown,
  run: () => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const served = serve(ch as Channel<never>, handler as never, { signal: stop.signal });
  try {
    await run();
  } finally {
    stop.abort();
    await served;
  }
}

traced("the error of a handler is that of its request and of its serve", async (fixture) => {
  const { telemetry, name } = fixture;
  await using ch = channel(name);
  for (const isAsync of [false, true]) {
    telemetry.reset();
    const handler = () => {
      const error = new RangeError("too far");
      if (isAsync) return Promise.reject(error);
      throw error;
    };
    await serving(ch, handler, async () => {
      await rejects(ch.request("where", { timeout: 20_000 }), /too far/);
      await until(() => named(telemetry, `serve ${name}`).length === 1);
    });
    const request = only(telemetry, `request ${name}`);
    const put = only(telemetry, `put ${name}`);
    const span = only(telemetry, `serve ${name}`);
    deepEqual([request.status, put.status, span.status], [failed, 0, failed]);
    deepEqual([request.attributes["error.type"], span.attributes["error.type"]], [
      "RangeError",
      "RangeError",
    ]);
    deepEqual([put.parent, span.parent, span.trace], [request.id, put.id, request.trace]);
    equal(span.attributes["channelts.outcome"], "accepted");
  }
});

traced("what a handler throws may be hostile", async ({ telemetry, name }) => {
  await using ch = channel(name);
  const hostile = new Error();
  for (const key of ["name", "message", "stack", "code"]) {
    Object.defineProperty(hostile, key, {
      get: () => {
        throw new Error(`${key} is a trap`);
      },
    });
  }
  for (const isAsync of [false, true]) {
    telemetry.reset();
    const handler = () => {
      if (isAsync) return Promise.reject(hostile);
      throw hostile;
    };
    await serving(ch, handler, async () => {
      await rejects(ch.request("it", { timeout: 20_000 }));
      await until(() => named(telemetry, `serve ${name}`).length === 1);
    });
    const span = only(telemetry, `serve ${name}`);
    deepEqual([span.status, span.attributes["error.type"]], [failed, "_OTHER"]);
  }
});

traced("select: a chosen get takes no time, a chosen put is a producer", async (fixture) => {
  const { telemetry, name } = fixture;
  await using ch = channel(name, { capacity: 1 });
  await telemetry.within("program", async () => {
    await select([ch.putCase("chosen")], { timeout: 20_000 });
    equal(await trySelect([ch.putCase("refused")]), undefined); // full
    await select([ch.getCase()], { timeout: 20_000 });
  });
  const program = only(telemetry, "program");
  const [put, get, ...others] = named(telemetry, `select ${name}`);
  deepEqual(others, []);
  deepEqual(named(telemetry, `trySelect ${name}`), []); // nothing was chosen
  deepEqual([put!.kind, put!.parent, put!.status], [producer, program.id, 0]);
  deepEqual([get!.kind, get!.parent, get!.links], [client, program.id, [put!.id]]);
  equal(get!.milliseconds, 0);
  equal(get!.attributes["messaging.message.id"], put!.attributes["messaging.message.id"]);
  const operation = { "messaging.destination.name": name, "messaging.operation.name": "select" };
  const metrics = await telemetry.metrics();
  for (const kind of ["sent", "consumed"]) {
    const counted = points(metrics, `messaging.client.${kind}.messages`, operation);
    deepEqual(counted.map(({ value }) => value), [1], kind);
  }
});

traced("a get or receive without a value is no span", async ({ telemetry, name }) => {
  const ch = channel(name);
  await rejects(ch.get({ timeout: 1 }), { name: "ChannelTimeoutError" });
  await rejects(ch.receive({ timeout: 0 }), { name: "ChannelTimeoutError" });
  await ch.tryGet();
  const reasons = [undefined, "a text", new Error("the program's"), { any: "object" }];
  for (const reason of reasons) {
    const stop = new AbortController();
    const pending = [ch.get({ signal: stop.signal }), ch.receive({ signal: stop.signal })];
    stop.abort(reason);
    for (const each of pending) await rejects(each);
  }
  const closed = ch.get();
  closed.catch(() => {});
  await ch.close();
  await rejects(closed, { name: "ChannelClosedError" });
  deepEqual(telemetry.spans().map((span) => span.name), []);

  const metrics = await telemetry.metrics();
  const here = { "messaging.destination.name": name };
  const durations = points(metrics, "messaging.client.operation.duration", here);
  deepEqual(
    durations.map(({ attributes }) => [
      attributes["messaging.operation.name"],
      attributes["error.type"],
    ]).sort(),
    [["get", "ChannelTimeoutError"], ["receive", "ChannelTimeoutError"]],
  );
  deepEqual(points(metrics, "messaging.client.consumed.messages", here), []);
});

traced("a get or receive that fails otherwise has the status ERROR", async (fixture) => {
  const { telemetry, name } = fixture;
  await using ch = channel(name);
  const raw = new RawChannel(ch as Channel, { create: true });
  for (const action of ["get", "receive"] as const) {
    const message = { body: new Uint8Array([0xff]), contentType: "application/cbor" };
    await raw.put(message, {});
    await rejects(ch[action]({ timeout: 20_000 }), { name: "ChannelDecodeError" });
    const span = only(telemetry, `${action} ${name}`);
    deepEqual([span.status, span.attributes["error.type"]], [failed, "ChannelDecodeError"]);
  }
  await raw.close();
});

traced("a pipe keeps the trace of a value, and its end is no error", async (fixture) => {
  const { telemetry, name } = fixture;
  await using from = channel(`${name} from`);
  const to = channel(`${name} to`, { capacity: 1 });
  const piping = pipe(from, to);
  await telemetry.within("program", () => from.put("piped"));
  equal(await to.get({ timeout: 20_000 }), "piped");
  await until(() => named(telemetry, `process ${name} from`).length === 1);
  await to.close();
  await rejects(piping, { name: "ChannelClosedError" });

  const program = only(telemetry, "program");
  const first = only(telemetry, `put ${name} from`);
  const process = only(telemetry, `process ${name} from`);
  const second = only(telemetry, `put ${name} to`);
  const get = only(telemetry, `get ${name} to`);
  deepEqual([first, process, second].map((span) => [span.trace, span.parent]), [
    [program.trace, program.id],
    [program.trace, first.id],
    [program.trace, process.id],
  ]);
  deepEqual([process.links, get.links], [[first.id], [second.id]]);
  equal(process.attributes["channelts.outcome"], "accepted");
  deepEqual(telemetry.spans().filter((span) => span.status !== 0), []);

  // A pipe that is aborted ends its receive with the error of the program.
  const stop = new AbortController();
  await using other = channel(`${name} other`);
  const aborted = pipe(from, other, { signal: stop.signal });
  stop.abort(new Error("the program's"));
  await rejects(aborted, /the program's/);
  deepEqual(telemetry.spans().filter((span) => span.status !== 0), []);
});

traced("the command pipe keeps the trace of a value", async ({ telemetry, name }) => {
  const connection = `sqlite:${join(sqliteDirectory(), "channels.db")}`;
  await using from = new Channel<string>({ name, connection });
  await using to = new Channel<string>({ name: `${name} to`, connection });
  await from.put("moved");
  const moved = async (...more: string[]) => {
    const args = ["pipe", name, `${name} to`, ...more];
    const result = await runCli(args, { env: { CHANNELTS_URI: connection } });
    equal(result.code, 0, result.stderr);
    const delivery = await to.receive({ timeout: 20_000 });
    delivery.accept();
    return only(telemetry, `process ${name} to`);
  };
  const process = await moved();
  const put = only(telemetry, `put ${name}`);
  deepEqual([process.trace, process.parent, process.links], [put.trace, put.id, [put.id]]);

  // What a program has written is a new value.
  telemetry.reset();
  await from.put("passed");
  const passed = await moved("--", "cat");
  deepEqual([passed.parent, passed.links], [undefined, []]);
});

traced("each delivery of a value, and of its dead letter, is a span", async (fixture) => {
  const { telemetry, name } = fixture;
  await using ch = channel(name, { maxAttempts: 2 });
  await ch.put("refused");
  for (const _ of [1, 2]) (await ch.receive({ timeout: 20_000 })).release();
  const letter = await ch.deadLetters.receive({ timeout: 20_000 });
  letter.accept();
  await until(() => named(telemetry, `process ${name}`).length === 2);

  const put = only(telemetry, `put ${name}`);
  const spans = [
    ...named(telemetry, `process ${name}`),
    only(telemetry, `process ${ch.deadLetters.name}`),
  ];
  for (const span of spans) {
    equal(span.kind, consumer);
    deepEqual([span.trace, span.parent, span.links], [put.trace, put.id, [put.id]]);
  }
  deepEqual(
    spans.map(({ attributes }) => [
      attributes["channelts.attempts"],
      attributes["channelts.outcome"],
    ]),
    [[1, "released"], [2, "dead-lettered"], [1, "accepted"]],
  );
  deepEqual(telemetry.spans().filter((span) => span.kind === producer).length, 1);
  await ch.deadLetters.close();
});

traced("a tryPut into a full channel", async ({ telemetry, name }) => {
  await using ch = channel(name, { capacity: 1 });
  equal(await ch.tryPut("first"), "ok");
  equal(await ch.tryPut("second"), "full");
  const [first, second] = named(telemetry, `tryPut ${name}`);
  deepEqual([first!.kind, first!.attributes["channelts.outcome"]], [producer, undefined]);
  deepEqual([second!.status, second!.attributes["channelts.outcome"]], [0, "full"]);
  const sent = points(await telemetry.metrics(), "messaging.client.sent.messages", {
    "messaging.destination.name": name,
  });
  deepEqual(sent.map(({ value }) => value), [1]);
});

traced("names that the option template replaces", async ({ telemetry, name }) => {
  for (const each of [`customer ${name}`, `broken ${name}`, name]) {
    await using ch = channel(each);
    await ch.put("it");
  }
  await using anonymous = new Channel({ connection: "memory:" });
  await anonymous.put("it");
  const [customer, broken, other, unnamed] = telemetry.spans();
  deepEqual([customer!.name, broken!.name, other!.name, unnamed!.name], [
    "put customer {id}",
    `put broken ${name}`,
    `put ${name}`,
    "put",
  ]);
  const of = ({ attributes }: { attributes: Readonly<Record<string, unknown>> }) => [
    attributes["messaging.destination.template"],
    attributes["messaging.destination.name"],
  ];
  deepEqual([customer!, other!].map(of), [["customer {id}", `customer ${name}`], [
    undefined,
    name,
  ]]);
  const { attributes } = unnamed!;
  deepEqual(
    [attributes["messaging.destination.anonymous"], attributes["messaging.destination.temporary"]],
    [true, true],
  );
  const metrics = await telemetry.metrics();
  const sent = points(metrics, "messaging.client.sent.messages", {
    "messaging.destination.template": "customer {id}",
  });
  deepEqual(sent.map(of), [["customer {id}", undefined]]);
  const names = points(metrics, "messaging.client.sent.messages", {})
    .map((point) => point.attributes["messaging.destination.name"]);
  deepEqual(names.filter((found) => String(found).includes(anonymous.name)), []);
}, {
  template: (name) => {
    if (name.startsWith("broken ")) throw new Error("the template failed");
    return name.startsWith("customer ") ? "customer {id}" : undefined;
  },
});

/** Headers that are no context. */
const hostile: readonly string[] = [
  "",
  "x",
  "00-00000000000000000000000000000000-0000000000000000-01",
  "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
  "-".repeat(2000),
];

traced("a hostile traceparent is no link, and no error", async ({ telemetry, name }) => {
  await using ch = channel(name);
  const raw = new RawChannel(ch as Channel, { create: true });
  const put = async (headers: Record<string, string>) => {
    telemetry.reset();
    await raw.put({ body: new Uint8Array([1]), contentType: "application/cbor", headers }, {});
    const delivery = await ch.receive({ timeout: 20_000 });
    delivery.accept();
    return only(telemetry, `process ${name}`);
  };
  for (const traceparent of hostile) {
    const span = await put({ traceparent, tracestate: "=,=;\"'%" });
    deepEqual([span.links, span.parent, span.status], [[], undefined, 0], traceparent);
  }
  // It can name any trace: the same form with valid ids is a parent.
  const span = await put({
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  deepEqual([span.trace, span.parent], ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]);
  await raw.close();
});

traced("a propagator that throws loses no value", async ({ telemetry, name }) => {
  const { propagation, diag } = load("@opentelemetry/api");
  const { W3CTraceContextPropagator } = load("@opentelemetry/core");
  const told: string[] = [];
  const note = (text: string) => told.push(text);
  const ignore = () => {};
  diag.setLogger({ error: note, warn: note, info: ignore, debug: ignore, verbose: ignore });
  await using ch = channel(name);
  const fail = () => {
    throw new URIError("URI malformed");
  };
  try {
    for (const broken of ["inject", "extract"]) {
      const working = new W3CTraceContextPropagator();
      propagation.disable();
      propagation.setGlobalPropagator({
        inject: broken === "inject" ? fail : working.inject.bind(working),
        extract: broken === "extract" ? fail : working.extract.bind(working),
        fields: () => working.fields(),
      });
      await ch.put(broken);
      equal(await ch.get({ timeout: 20_000 }), broken);
      equal(told.some((text) => text.includes("URI malformed")), true, broken);
      told.length = 0;
    }
    deepEqual(telemetry.spans().map(({ links, status }) => [links, status]), [
      [[], 0],
      [[], 0],
      [[], 0],
      [[], 0],
    ]);
  } finally {
    propagation.disable();
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    diag.disable();
  }
});

traced("a tracer that throws fails no operation", async ({ instrumented, name }) => {
  instrumented.stop();
  const { TracerProvider } = load("@opentelemetry/sdk-trace");
  const settled = () => Promise.resolve();
  const fail = () => {
    throw new Error("the sampler failed");
  };
  const quiet = { onStart: () => {}, onEnd: () => {}, forceFlush: settled, shutdown: settled };
  const broken = [
    { sampler: { shouldSample: fail, toString: () => "broken" } },
    { spanProcessors: [{ ...quiet, onStart: fail }] },
    { spanProcessors: [{ ...quiet, onEnd: fail }] },
  ];
  await using ch = channel(name);
  for (const options of broken) {
    const tracerProvider = new TracerProvider(options);
    throws(() => tracerProvider.getTracer("program").startSpan("span").end(), /sampler failed/);
    using _ = instrument({ tracerProvider });
    await ch.put("it");
    const delivery = await ch.receive({ timeout: 20_000 });
    equal(processing(delivery, () => delivery.value), "it");
    delivery.accept();
    equal(await ch.depth(), 0);
  }
});

traced("a depth that cannot be read is left out", async ({ telemetry, instrumented, name }) => {
  const { diag } = load("@opentelemetry/api");
  const told: string[] = [];
  const note = (text: string) => told.push(text);
  const ignore = () => {};
  diag.setLogger({ error: note, warn: note, info: ignore, debug: ignore, verbose: ignore });
  await using ch = channel(name);
  await using missing = new Channel({
    name: `${name} missing`,
    connection: `sqlite:${join(sqliteDirectory(), "no folder", "channels.db")}`,
  });
  const closed = channel(`${name} closed`);
  const left = channel(`${name} left`);
  try {
    for (const each of [missing, ch, closed, left]) instrumented.observe(each as Channel);
    throws(() => instrumented.observe({} as never), { name: "ChannelConfigError" });
    instrumented.unobserve(left as Channel);
    await closed.close();
    await ch.put("waits");
    const depths = points(await telemetry.metrics(), "channelts.channel.depth", {});
    deepEqual(
      depths.map(({ attributes, value }) => [attributes["messaging.destination.name"], value]),
      [[name, 1]],
    );
    equal(told.length, 1, told.join("\n"));
    match(told[0]!, new RegExp(`the depth of ${name} missing is not known`));
  } finally {
    diag.disable();
    await left.close();
  }
});

traced("the program's part of a processing", async ({ telemetry, name }) => {
  const { trace } = load("@opentelemetry/api");
  await using ch = channel(name);
  for (const value of [1, 2, 3]) await ch.put(value);
  // With an active span, the processing is its child, and has the link.
  await telemetry.within("program", async () => {
    const delivery = await ch.receive({ timeout: 20_000 });
    trace.getSpan(contextOf(delivery)).setAttribute("job", 1);
    delivery.accept();
  });
  const delivery = await ch.receive({ timeout: 20_000 });
  throws(() =>
    processing(delivery, () => {
      throw new RangeError("of the program");
    }), /of the program/);
  equal(named(telemetry, `process ${name}`).length, 1); // the error settles nothing
  delivery.release({ delay: 20 });
  await until(() => named(telemetry, `process ${name}`).length === 2);

  const program = only(telemetry, "program");
  const [first, second] = named(telemetry, `process ${name}`);
  const puts = named(telemetry, `put ${name}`);
  deepEqual([first!.trace, first!.parent, first!.links], [program.trace, program.id, [
    puts[0]!.id,
  ]]);
  equal(first!.attributes["job"], 1);
  deepEqual([second!.status, second!.attributes["error.type"]], [failed, "RangeError"]);
  equal(second!.attributes["channelts.outcome"], "released");
  ok(second!.milliseconds >= 15, `${second!.milliseconds} ms`); // until the delay is over
});

traced("what is reported when telemetry begins and stops", async (fixture) => {
  const { telemetry, instrumented, name } = fixture;
  await using ch = channel(name);
  throws(() => instrument(), { name: "ChannelConfigError" });
  const pending = ch.get({ timeout: 20_000 });
  instrumented.stop();
  const unreported = ch.get({ timeout: 20_000 });
  const again = instrument();
  try {
    await ch.put("first");
    await ch.put("second");
    deepEqual(await Promise.all([pending, unreported]), ["first", "second"]);
    equal(named(telemetry, `put ${name}`).length, 2);
    const get = only(telemetry, `get ${name}`);
    deepEqual(get.links, [named(telemetry, `put ${name}`)[0]!.id]);
  } finally {
    again.stop();
  }
  await ch.put("third");
  equal(named(telemetry, `put ${name}`).length, 2);
});
