import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { Put, TryPut } from "../handle/put.ts";
import { ChannelClosedError, ChannelTimeoutError } from "../shared/errors.ts";
import type { Instrumentation, InstrumentedOperation } from "../shared/instrumentation.ts";
import type { Claim, Loan, Message } from "../transports/transport.ts";
import { type Moment, moment, since } from "./moment.ts";
import type { Described, Destination, Destinations } from "./destination.ts";
import type { Measures } from "./measures.ts";
import {
  endSpan,
  errorType,
  headersOf,
  messageAttributes,
  originOf,
  runIn,
  startSpan,
} from "./spans.ts";
import { TracedLoan } from "./traced_loan.ts";

/** The failure of an operation, as `whenSettled` tells it. */
type Failure = { readonly reason: unknown } | undefined;

/** What telemetry knows of a pending operation. */
interface Watched {
  readonly from: Moment;
  /** The context in which the operation was called. */
  readonly active: Context;
  readonly destination: Destination;
  span?: Span;
  /** What a get or a receive was given. */
  loan?: TracedLoan;
}

/**
 * Makes spans and measurements of operations.
 *
 * A put is a span from the call until it settles, whose context travels in the headers of the message. A get or receive
 * is a span if it was given a value, or has failed by an error other than a timeout, closing or aborting.
 */
export class Telemetry implements Instrumentation {
  readonly #tracer: Tracer;
  readonly #measures: Measures;
  readonly #destinations: Destinations;
  readonly #watched = new WeakMap<object, Watched>();
  /** The request that has begun in this turn, whose put follows. */
  #asking: { readonly owner: object; readonly context: Context } | undefined;

  constructor(tracer: Tracer, measures: Measures, destinations: Destinations) {
    this.#tracer = tracer;
    this.#measures = measures;
    this.#destinations = destinations;
  }

  begin(operation: InstrumentedOperation): void {
    const { action, owner } = operation;
    if (operation instanceof Put) this.#beginPut(operation);
    else if (action === "request") this.#beginRequest(operation);
    else if (consuming.has(action)) this.#watch(operation, owner);
  }

  send<M extends object>(put: InstrumentedOperation, message: M): M {
    const watched = this.#watched.get(put);
    if (watched?.span === undefined) return message;
    const headers = headersOf(trace.setSpan(watched.active, watched.span));
    return headers === undefined ? message : { ...message, headers };
  }

  take<C extends object>(operation: InstrumentedOperation, claim: C): C {
    const watched = this.#watched.get(operation);
    if (watched === undefined) return claim;
    return new TracedClaim(claim as unknown as Claim, (loan) => {
      const traced = new TracedLoan(loan, watched.destination, watched.active, {
        tracer: this.#tracer,
        measures: this.#measures,
      });
      if (operation.settled) return traced; // it comes too late and is released
      watched.loan = traced;
      return traced;
    }, () => {
      if (operation.settled) return;
      delete watched.loan; // a dead letter: the operation claims again
    }) as unknown as C;
  }

  selected(owner: object, action: string, loan: object): void {
    const destination = this.#destinations.of(owner);
    if (destination === undefined) return;
    const { message } = loan as Loan;
    const from = moment();
    const described = destination.described(action, "receive");
    const { links } = originOf(message);
    const span = startSpan(
      this.#tracer,
      SpanKind.CLIENT,
      described,
      from,
      context.active(),
      links,
    );
    endSpan(span, from, 0, messageAttributes(message));
    this.#measures.consumed(described.measured);
  }

  serve<R>(loan: object, handle: () => R): R {
    if (!(loan instanceof TracedLoan)) return handle();
    loan.serve();
    return runIn(loan.context, loan.span, handle);
  }

  pass<R>(loan: object, put: () => R): R {
    return loan instanceof TracedLoan ? runIn(loan.context, loan.span, put) : put();
  }

  #watch(operation: InstrumentedOperation, owner: object): void {
    const destination = this.#destinations.of(owner);
    if (destination === undefined) return;
    const watched: Watched = { from: moment(), active: context.active(), destination };
    this.#watched.set(operation, watched);
    operation.whenSettled((failure) => this.#taken(operation, watched, failure));
  }

  #beginPut(put: Put<unknown>): void {
    const { owner, action } = put;
    const asking = this.#asking?.owner === owner ? this.#asking : undefined;
    this.#asking = undefined;
    const destination = this.#destinations.of(owner);
    if (destination === undefined) return;
    const active = asking?.context ?? context.active();
    const described = destination.described(action, "send");
    const watched = this.#start(put, SpanKind.PRODUCER, described, destination, active);
    put.whenSettled((failure) => {
      const isFull = put instanceof TryPut && put.isFull;
      if (isFull && isOfSelect(action)) return; // it is tried again; the span is never ended, and so is not exported
      const message = put.message as Message | undefined;
      const full = isFull ? { "channelts.outcome": "full" } : {};
      const attributes = { ...message && messageAttributes(message), ...full };
      const settled = this.#settled(
        watched,
        described,
        destination.described(action, "send"),
        attributes,
        failure,
      );
      if (!isFull) this.#measures.sent(measuredOf(settled, failure));
    });
  }

  #beginRequest(request: InstrumentedOperation): void {
    const destination = this.#destinations.of(request.owner);
    if (destination === undefined) return;
    const described = destination.described("request", undefined);
    const active = context.active();
    const watched = this.#start(request, SpanKind.CLIENT, described, destination, active);
    this.#asking = { owner: request.owner, context: trace.setSpan(active, watched.span!) };
    const asking = this.#asking;
    // The put begins in this turn, unless its value cannot be encoded.
    queueMicrotask(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    request.whenSettled((failure) => {
      this.#settled(watched, described, destination.described("request", undefined), {}, failure);
    });
  }

  #start(
    operation: InstrumentedOperation,
    kind: SpanKind,
    described: Described,
    destination: Destination,
    active: Context,
  ): Watched {
    const from = moment();
    const span = startSpan(this.#tracer, kind, described, from, active);
    const watched: Watched = { from, active, destination, span };
    this.#watched.set(operation, watched);
    return watched;
  }

  /**
   * Ends the span of an operation, and measures it.
   *
   * @param begun how the operation was described at its begin, when its connection may not have been known
   * @param now how it is described now, which is returned
   */
  #settled(
    { from, span }: Watched,
    begun: Described,
    now: Described,
    attributes: Attributes,
    failure: Failure,
  ): Described {
    const ms = since(from);
    endSpan(span!, from, ms, begun === now ? attributes : { ...now.span, ...attributes }, failure);
    this.#measures.operation(ms / 1000, measuredOf(now, failure));
    return now;
  }

  /** A get or receive has settled. */
  #taken({ action, signal }: InstrumentedOperation, watched: Watched, failure: Failure): void {
    const { from, active, destination, loan } = watched;
    if (loan === undefined && isWithoutValue(failure, signal)) {
      // An empty channel is an answer of tryGet; iterations that are left, closing and aborting are no outcome of a get.
      if (action === "tryGet" || !(failure?.reason instanceof ChannelTimeoutError)) return;
      const { measured } = destination.described(action, "receive");
      return this.#measures.operation(since(from) / 1000, measuredOf({ measured }, failure));
    }
    const described = destination.described(action, "receive");
    const links = loan?.origin.links ?? [];
    watched.span = startSpan(this.#tracer, SpanKind.CLIENT, described, from, active, links);
    const attributes = loan ? messageAttributes(loan.message) : {};
    this.#settled(watched, described, described, attributes, failure);
    if (loan === undefined) return;
    this.#measures.consumed(measuredOf(described, failure));
    if (failure === undefined && action === "receive") loan.received();
  }
}

/** The actions that take a message. */
const consuming: ReadonlySet<string> = new Set(["get", "tryGet", "receive"]);

function isOfSelect(action: string): boolean {
  return action === "select" || action === "trySelect";
}

/** Reports whether a get has ended without a value, although nothing is wrong. */
function isWithoutValue(failure: Failure, signal: AbortSignal | undefined): boolean {
  if (failure === undefined) return true;
  const { reason } = failure;
  if (signal?.aborted && signal.reason === reason) return true; // it may be any value
  return reason instanceof ChannelTimeoutError || reason instanceof ChannelClosedError ||
    !(reason instanceof Error); // an iteration was left
}

/** Adds the class of an error to what is measured, if it is one of few: a server may send errors of any name. */
function measuredOf({ measured }: Pick<Described, "measured">, failure: Failure): Attributes {
  if (failure === undefined) return measured;
  const type = errorType(failure.reason);
  return { ...measured, "error.type": fewNames.test(type) ? type : "_OTHER" };
}

const fewNames =
  /^(?:Channel[A-Z][a-z]+Error|Error|(?:Eval|Range|Reference|Syntax|Type|URI|Aggregate|Abort|Timeout|DataClone)Error)$/;

/** A claim whose loan is traced. */
class TracedClaim implements Claim {
  readonly counted: boolean;
  readonly group?: object;
  readonly waits?: () => void;
  readonly #claim: Claim;
  readonly #traced: (loan: Loan) => TracedLoan;
  readonly #delivered: () => void;

  constructor(claim: Claim, traced: (loan: Loan) => TracedLoan, delivered: () => void) {
    this.#claim = claim;
    this.#traced = traced;
    this.#delivered = delivered;
    this.counted = claim.counted;
    if (claim.group !== undefined) this.group = claim.group;
    if (claim.waits !== undefined) this.waits = () => claim.waits!();
  }

  deliver(loan: Loan): void {
    this.#claim.deliver(this.#traced(loan));
    this.#delivered();
  }

  reject(error: Error): void {
    this.#claim.reject(error);
  }
}
