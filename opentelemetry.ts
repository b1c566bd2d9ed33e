/**
 * Spans and metrics of channels, for OpenTelemetry. It needs the package `@opentelemetry/api`, which no other entry
 * imports; the program chooses the SDK. It exports what `./memory` exports, too, and adds no transport.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 * import { instrument } from "@channelts/channel/opentelemetry";
 *
 * using _telemetry = instrument(); // after the SDK was set up
 * await using jobs = new Channel<string>("jobs");
 * await jobs.put("render"); // the span "put jobs"
 * ```
 *
 * @module
 */
export * from "./memory.ts";
export { contextOf, instrument, Instrumented, processing } from "./src/opentelemetry/instrument.ts";
export type {
  InstrumentOptions,
  MeterSource,
  TraceContext,
  TracerSource,
} from "./src/opentelemetry/instrument_options.ts";
