import {
  type Attributes,
  type Context,
  context,
  diag,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Message } from "../transports/transport.ts";
import { boundedHeaders } from "../transports/message_headers.ts";
import { type Moment, timeOf } from "./moment.ts";
import type { Described } from "./destination.ts";

/** Starts a span that has begun at `from`. @param parent the context of its parent */
export function startSpan(
  tracer: Tracer,
  kind: SpanKind,
  { title, span }: Described,
  from: Moment,
  parent: Context,
  links: Link[] = [],
): Span {
  const options = { kind, attributes: span, startTime: timeOf(from), links };
  return guarded(
    "the tracer",
    () => tracer.startSpan(title, options, parent),
    () => trace.wrapSpanContext(INVALID_SPAN_CONTEXT),
  );
}

/** Ends a span. @param failure why the operation has failed; undefined if it has succeeded */
export function endSpan(
  span: Span,
  from: Moment,
  ms: number,
  attributes: Attributes,
  failure?: { readonly reason: unknown },
): void {
  span.setAttributes(attributes);
  if (failure !== undefined) fail(span, failure.reason);
  guarded("the end of a span", () => span.end(timeOf(from, ms)), () => {});
}

/** Notes an error in a span. */
export function fail(span: Span, error: unknown): void {
  const message = messageOf(error);
  span.setAttribute("error.type", errorType(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  try {
    span.recordException(error instanceof Error ? error : message);
  } catch {
    span.recordException(message); // a hostile object that a handler has thrown
  }
}

/** Returns the class of an error. */
export function errorType(error: unknown): string {
  try {
    return error instanceof Error && typeof error.name === "string" && error.name || "_OTHER";
  } catch {
    return "_OTHER"; // a hostile object that a handler has thrown
  }
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return "an error that cannot be described";
  }
}

/** Returns the attributes of a message. */
export function messageAttributes({ id }: Message): Attributes {
  return id === undefined ? {} : { "messaging.message.id": id };
}

/** Returns the headers that carry a context. */
export function headersOf(carried: Context): Message["headers"] {
  const carrier: Record<string, string> = {};
  guarded("the propagator", () => propagation.inject(carried, carrier), () => {});
  return boundedHeaders(carrier);
}

/** What the sender of a message has put into its headers. */
export interface Origin {
  /** The context in which the message was put, with the sender's baggage. */
  readonly context: Context;
  /** The link to the sender's span; empty if there is none. */
  readonly links: Link[];
}

export function originOf({ headers }: Message): Origin {
  if (headers === undefined) return noOrigin;
  const extracted = guarded(
    "the propagator",
    () => propagation.extract(ROOT_CONTEXT, headers),
    () => ROOT_CONTEXT,
  );
  const sent = trace.getSpanContext(extracted);
  if (sent === undefined || !isSpanContextValid(sent)) return { context: extracted, links: [] };
  return { context: extracted, links: [{ context: sent }] };
}

const noOrigin: Origin = { context: ROOT_CONTEXT, links: [] };

/**
 * Calls what the program has set up, which may throw: propagators do for some headers of a hostile sender, and samplers
 * and span processors may be the program's own. Telemetry fails no operation, so the API's diagnostic logger is told.
 *
 * @param instead returns what stands for the result
 */
function guarded<R>(what: string, call: () => R, instead: () => R): R {
  try {
    return call();
  } catch (error) {
    diag.error(`ChannelTS: ${what} failed: ${messageOf(error)}`);
    return instead();
  }
}

/** Reports whether a span is active in a context. */
export function hasSpan(active: Context): boolean {
  const span = trace.getSpanContext(active);
  return span !== undefined && isSpanContextValid(span);
}

/** Calls a function in a context. A failure is noted in the span, and is the caller's. */
export function runIn<R>(active: Context, span: Span, run: () => R): R {
  const note = (error: unknown) => fail(span, error);
  let result: R;
  try {
    result = context.with(active, run);
  } catch (error) {
    note(error);
    throw error;
  }
  if (result instanceof Promise) result.then(undefined, note);
  return result;
}
