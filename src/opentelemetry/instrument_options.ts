import { callable, type Rule, type Rules } from "../shared/options.ts";

/** A TracerProvider of `@opentelemetry/api`. */
export interface TracerSource {
  /** Returns the tracer of an instrumentation. */
  getTracer(name: string, version?: string): object;
}

/** A MeterProvider of `@opentelemetry/api`. */
export interface MeterSource {
  /** Returns the meter of an instrumentation. */
  getMeter(name: string, version?: string): object;
}

/** A Context of `@opentelemetry/api`. */
export interface TraceContext {
  /** Returns the value of a key. */
  getValue(key: symbol): unknown;
  /** Returns a context in which a key has a value. */
  setValue(key: symbol, value: unknown): TraceContext;
  /** Returns a context in which a key has no value. */
  deleteValue(key: symbol): TraceContext;
}

/** The options of {@linkcode instrument}. */
export interface InstrumentOptions {
  /** The TracerProvider that makes the spans; default: the global one of the API. */
  readonly tracerProvider?: TracerSource;
  /** The MeterProvider that makes the metrics; default: the global one of the API. */
  readonly meterProvider?: MeterSource;
  /**
   * Returns what stands for a channel's name in the names of spans and in metrics, if the program has very many names,
   * such as one for each customer: `"customers/{id}"`. Undefined stands for the name itself. Called once for each
   * channel; if it throws, the name is used.
   */
  readonly template?: (name: string) => string | undefined;
}

function provider(method: string, takes: string): Rule {
  return {
    takes,
    allows: (value) =>
      typeof (value as Record<string, unknown> | null | undefined)?.[method] === "function",
  };
}

export const instrumentRules: Rules<InstrumentOptions> = {
  tracerProvider: provider("getTracer", "a TracerProvider"),
  meterProvider: provider("getMeter", "a MeterProvider"),
  template: callable,
};
