import { context, type Meter, metrics, trace, type Tracer } from "@opentelemetry/api";
import type { ChannelEnd } from "../channel/ends.ts";
import { Delivery } from "../handle/delivery.ts";
import { isChannelValue } from "../handle/channel_registry.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { current, setInstrumentation } from "../shared/instrumentation.ts";
import { callable, checkArgument, none, type Rule, Signature } from "../shared/options.ts";
import { version } from "../shared/version.ts";
import { Destinations } from "./destination.ts";
import {
  type InstrumentOptions,
  instrumentRules,
  type TraceContext,
} from "./instrument_options.ts";
import { Measures } from "./measures.ts";
import { runIn } from "./spans.ts";
import { Telemetry } from "./telemetry.ts";
import { TracedLoan } from "./traced_loan.ts";

const instrumentSignature: Signature = /* @__PURE__ */ new Signature(
  "instrument",
  1,
  instrumentRules,
  "instrument()",
);

const deliveryRule: Rule = {
  takes: "a delivery of receive",
  allows: (value) => value instanceof Delivery,
};

/** The telemetry of this process, from {@linkcode instrument}. */
export class Instrumented implements Disposable {
  readonly #measures: Measures;
  readonly #destinations: Destinations;
  readonly #telemetry: Telemetry;

  /** Used by {@linkcode instrument}. */
  constructor({ tracerProvider = trace, meterProvider = metrics, template }: InstrumentOptions) {
    const tracer = tracerProvider.getTracer(library, version) as Tracer;
    this.#measures = new Measures(meterProvider.getMeter(library, version) as Meter);
    this.#destinations = new Destinations(template, (used) => this.#measures.used(used));
    this.#telemetry = new Telemetry(tracer, this.#measures, this.#destinations);
    setInstrumentation(this.#telemetry);
  }

  /**
   * Has the depth of a channel read whenever the metrics are collected: `channelts.channel.depth`. It costs one question to
   * the broker each time. A depth that is not known within 5 s is left out, and the API's diagnostic logger is told.
   *
   * @param channel a Channel, or one of its ends; it is observed until it is closed
   * @throws {ChannelConfigError} if it is none
   */
  observe(channel: ChannelEnd): void {
    checkArgument("observe", "channel", channelRule, channel);
    const destination = this.#destinations.of(channel)!;
    this.#measures.watch(channel, () => destination.attributes);
  }

  /** Ends the observation of a channel. */
  unobserve(channel: ChannelEnd): void {
    this.#measures.unwatch(channel);
  }

  /** Ends the telemetry. Operations that have begun are still reported. */
  stop(): void {
    if (current === this.#telemetry) setInstrumentation(undefined);
    this.#measures.end();
  }

  /** The same as {@linkcode Instrumented.stop}. */
  [Symbol.dispose](): void {
    this.stop();
  }
}

const channelRule: Rule = {
  takes: "a Channel, a SendChannel or a ReceiveChannel",
  allows: isChannelValue,
};

/**
 * Begins to report the channels of this process to OpenTelemetry: spans of puts, gets, receives, requests and servers,
 * which are linked across processes by headers of the messages, and metrics. Call it once, after the program has set up
 * OpenTelemetry and before it uses channels. Without an SDK it reports nothing.
 *
 * The names follow version 1.44.0 of OpenTelemetry's semantic conventions for messaging
 * (https://opentelemetry.io/docs/specs/semconv/messaging/).
 *
 * @throws {ChannelConfigError} for an invalid option, and if it was called before and not stopped
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 * import { instrument } from "@channelts/channel/opentelemetry";
 *
 * const telemetry = instrument();
 * await using jobs = new Channel<string>("jobs");
 * telemetry.observe(jobs); // its depth is a metric
 * await jobs.put("render"); // the span "put jobs"
 * await jobs.get(); // the span "get jobs", with a link to the other
 * telemetry.stop();
 * ```
 */
export function instrument(options: InstrumentOptions = none): Instrumented {
  instrumentSignature.check(options, arguments.length);
  if (current !== undefined) {
    throw new ChannelConfigError(
      "instrument: telemetry is set up already; call instrument once, or stop the earlier one first",
    );
  }
  return new Instrumented(options);
}

/**
 * Returns the context of a delivery's processing: that of a span which lasts from the receipt of the value until the
 * delivery is settled. Without {@linkcode instrument} it is the active context.
 *
 * @throws {ChannelConfigError} if `delivery` is none
 *
 * @example
 * ```ts
 * import { trace } from "@opentelemetry/api";
 * import { Channel } from "@channelts/channel";
 * import { contextOf } from "@channelts/channel/opentelemetry";
 *
 * await using jobs = new Channel<string>();
 * await jobs.put("render");
 * const delivery = await jobs.receive();
 * trace.getSpan(contextOf(delivery))?.setAttribute("job", delivery.value);
 * delivery.accept();
 * ```
 */
export function contextOf(delivery: Delivery): TraceContext {
  checkArgument("contextOf", "delivery", deliveryRule, delivery);
  const loan = Delivery.loanOf(delivery);
  return loan instanceof TracedLoan ? loan.context : context.active();
}

/**
 * Calls a function in the context of a delivery's processing, and returns what it returns: spans that it makes are
 * children of the processing. An error that it throws, or rejects with, is noted there. The delivery is not settled.
 *
 * @param work the function; it takes no arguments
 * @throws {ChannelConfigError} if an argument is invalid
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 * import { processing } from "@channelts/channel/opentelemetry";
 *
 * await using jobs = new Channel<string>();
 * await jobs.put("render");
 * const delivery = await jobs.receive();
 * await processing(delivery, async () => {
 *   await Promise.resolve(delivery.value); // the work
 *   delivery.accept();
 * });
 * ```
 */
export function processing<R>(delivery: Delivery, work: () => R): R {
  checkArgument("processing", "delivery", deliveryRule, delivery);
  checkArgument("processing", "work", callable, work);
  const loan = Delivery.loanOf(delivery);
  return loan instanceof TracedLoan ? runIn(loan.context, loan.span, work) : work();
}

/** The name of the instrumentation. */
const library = "@channelts/channel";
