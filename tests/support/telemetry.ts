// OpenTelemetry's SDK with exporters into memory. The tests pin it in tests/packages/opentelemetry, outside of the
// project, so its types are described here as far as they are used.

/** A finished span. */
export interface FoundSpan {
  readonly name: string;
  /** 0 internal, 1 server, 2 client, 3 producer, 4 consumer. */
  readonly kind: number;
  readonly trace: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly links: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
  readonly milliseconds: number;
}

/** The points of a metric. */
export interface FoundMetric {
  readonly name: string;
  readonly unit: string;
  readonly points: readonly {
    readonly attributes: Readonly<Record<string, unknown>>;
    readonly value: number | { readonly count: number; readonly sum: number };
  }[];
}

// deno-lint-ignore no-explicit-any -- the packages are not the project's
type Untyped = any;

/** Sets the SDK up as the global one of the API. @param load loads a package of the SDK */
export function startTelemetry(load: (name: string) => Untyped): StartedTelemetry {
  const { context, propagation, trace, metrics } = load("@opentelemetry/api");
  const { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } = load(
    "@opentelemetry/sdk-trace",
  );
  const { W3CTraceContextPropagator } = load("@opentelemetry/core");
  const { AsyncLocalStorageContextManager } = load("@opentelemetry/context-async-hooks");
  const sdk = load("@opentelemetry/sdk-metrics");
  const exporter = new InMemorySpanExporter();
  const processor = new SimpleSpanProcessor({ exporter });
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [processor] }));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const measured = new sdk.InMemoryMetricExporter(sdk.AggregationTemporality.CUMULATIVE);
  const options = { exporter: measured, exportIntervalMillis: 2 ** 30 };
  const reader = new sdk.PeriodicExportingMetricReader(options);
  metrics.setGlobalMeterProvider(new sdk.MeterProvider({ readers: [reader] }));
  return new StartedTelemetry(trace, exporter, measured, reader);
}

/** The SDK in this process. */
export class StartedTelemetry {
  /** What the program noted for the test. */
  readonly notes: object[] = [];
  readonly #trace: Untyped;
  readonly #exporter: Untyped;
  readonly #measured: Untyped;
  readonly #reader: Untyped;

  constructor(trace: Untyped, exporter: Untyped, measured: Untyped, reader: Untyped) {
    this.#trace = trace;
    this.#exporter = exporter;
    this.#measured = measured;
    this.#reader = reader;
  }

  /** Calls a function within a span of the program. */
  async within<R>(name: string, run: () => Promise<R>): Promise<R> {
    return await this.#trace.getTracer("program").startActiveSpan(name, async (span: Untyped) => {
      try {
        return await run();
      } finally {
        span.end();
      }
    });
  }

  note(note: object): void {
    this.notes.push(note);
  }

  /** Returns the spans that have ended. */
  spans(): FoundSpan[] {
    return this.#exporter.getFinishedSpans().map((span: Untyped): FoundSpan => ({
      name: span.name,
      kind: span.kind,
      trace: span.spanContext().traceId,
      id: span.spanContext().spanId,
      parent: span.parentSpanContext?.spanId,
      links: span.links.map((link: Untyped) => link.context.spanId),
      attributes: span.attributes,
      status: span.status.code,
      milliseconds: span.duration[0] * 1000 + span.duration[1] / 1e6,
    }));
  }

  /** Forgets the spans. */
  reset(): void {
    this.#exporter.reset();
  }

  /** Collects the metrics. */
  async metrics(): Promise<FoundMetric[]> {
    await this.#reader.forceFlush();
    const [last] = this.#measured.getMetrics().slice(-1);
    return last.scopeMetrics.flatMap(({ metrics }: Untyped) =>
      metrics.map((metric: Untyped): FoundMetric => ({
        name: metric.descriptor.name,
        unit: metric.descriptor.unit,
        points: metric.dataPoints.map(({ attributes, value }: Untyped) => ({ attributes, value })),
      }))
    );
  }
}
