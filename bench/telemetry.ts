import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { Channel } from "../mod.ts";
import { instrument, type Instrumented } from "../opentelemetry.ts";
import { npmPackages } from "../tests/support/npm.ts";
import { compare, type Contender } from "./compare.ts";
import { heading, note, record, table } from "./output.ts";

// deno-lint-ignore no-explicit-any -- the SDK is not the project's
type Untyped = any;

/** Returns the CPU time of this process in milliseconds, which other processes of the machine affect little. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Measures the CPU time of puts and gets on memory, with and without telemetry. */
export async function benchTelemetry(): Promise<void> {
  heading("telemetry, memory:");
  const load = createRequire(join(await npmPackages("opentelemetry"), "none.js"));
  const ch = new Channel<{ id: number; name: string }>({ connection: "memory:", name: "bench" });
  const value = { id: 1, name: "foo" };
  const run = async (n: number) => {
    for (let i = 0; i < n; i++) {
      await ch.put(value);
      await ch.get();
    }
  };
  let telemetry: Instrumented | undefined;
  /** The garbage of one contender is not collected in the time of the next one, and what gc has discarded is compiled. */
  const warmUp = async () => {
    (globalThis as { gc?: () => void }).gc?.();
    await run(5_000);
  };
  const begin = () => {
    telemetry = instrument();
    return warmUp();
  };
  const end = (stopSdk?: () => void) => {
    telemetry!.stop();
    stopSdk?.();
    return Promise.resolve();
  };
  /** @param start sets the SDK up, and returns a function that removes it */
  const withSdk = (label: string, start: () => () => void): Contender => {
    let stop = () => {};
    return {
      label,
      prepare: () => {
        stop = start();
        return begin();
      },
      run,
      check: () => end(stop),
    };
  };
  const title = "put and get of a small object, both awaited, in CPU time";
  const contenders: Contender[] = [
    { label: "without instrument", prepare: warmUp, run },
    { label: "with instrument, no SDK", prepare: begin, run, check: () => end() },
    withSdk("SDK, every span sampled", () => startSpans(load)),
    withSdk("the same, and metrics", () => {
      const stops = [startSpans(load), startMetrics(load)];
      return () => stops.forEach((stop) => stop());
    }),
  ];
  const figures = await compare(contenders, { title, count: 10_000, rounds: 9, clock: cpuTime });
  const rows = figures.map(({ label, rate, ratio: [middle, least, most], half: [low, high] }) => {
    const microseconds = `${(1e6 / rate).toFixed(1)} µs`;
    const of = (ratio: number) => (1 / ratio).toFixed(1);
    record(title, label, `${microseconds} (${of(middle)})`);
    return [
      label,
      microseconds,
      of(middle),
      `${of(high)}–${of(low)}`,
      `${of(most)}–${of(least)}`,
    ];
  });
  table(title, [["", "median", "× without", "half of the rounds", "all"], ...rows]);
  note("The exporter drops the spans: what their export costs is not included.");
  await ch.delete();
}

/** Sets up the SDK for spans, all of them sampled. Returns a function that removes it. */
function startSpans(load: (name: string) => Untyped): () => void {
  const { context, propagation, trace } = load("@opentelemetry/api");
  const { SimpleSpanProcessor, TracerProvider } = load("@opentelemetry/sdk-trace");
  const { W3CTraceContextPropagator } = load("@opentelemetry/core");
  const { AsyncLocalStorageContextManager } = load("@opentelemetry/context-async-hooks");
  const exporter = {
    export: (_spans: unknown, done: (result: object) => void) => done({ code: 0 }),
    shutdown: () => Promise.resolve(),
  };
  const spanProcessors = [new SimpleSpanProcessor({ exporter })];
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors }));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  return () => {
    for (const api of [context, propagation, trace]) api.disable();
  };
}

/** Sets up the SDK for metrics, which nothing collects meanwhile. Returns a function that removes it. */
function startMetrics(load: (name: string) => Untyped): () => void {
  const { metrics } = load("@opentelemetry/api");
  const sdk = load("@opentelemetry/sdk-metrics");
  const exporter = new sdk.InMemoryMetricExporter(sdk.AggregationTemporality.DELTA);
  const exportIntervalMillis = 2 ** 30;
  const reader = new sdk.PeriodicExportingMetricReader({ exporter, exportIntervalMillis });
  const provider = new sdk.MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  return () => {
    metrics.disable();
    void provider.shutdown();
  };
}

if (import.meta.main) await benchTelemetry();
