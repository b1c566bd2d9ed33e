import { type Context, type Span, SpanKind, trace, type Tracer } from "@opentelemetry/api";
import type { Loan, Message } from "../transports/transport.ts";
import { type Moment, moment, since } from "./moment.ts";
import type { Destination } from "./destination.ts";
import type { Measures } from "./measures.ts";
import { endSpan, hasSpan, messageAttributes, type Origin, originOf, startSpan } from "./spans.ts";

/** How the processing of a value has ended. */
type Outcome = "accepted" | "released" | "dead-lettered";

/**
 * A loan whose time from its receipt until it is settled is a span.
 *
 * Invariants: the span begins with the receipt, but is made only when its parent is known: by the first that asks for
 * its context, or when the loan is settled. It ends once.
 */
export class TracedLoan implements Loan {
  readonly origin: Origin;
  readonly #loan: Loan;
  readonly #destination: Destination;
  readonly #tracer: Tracer;
  readonly #measures: Measures;
  /** The context in which the value was received. */
  readonly #active: Context;
  /** When the program was given the value; undefined if it was not. */
  #received: Moment | undefined;
  #operation: "process" | "serve" = "process";
  #span: Span | undefined;
  #context: Context | undefined;
  #isEnded = false;

  constructor(
    loan: Loan,
    destination: Destination,
    active: Context,
    { tracer, measures }: { readonly tracer: Tracer; readonly measures: Measures },
  ) {
    this.#loan = loan;
    this.#destination = destination;
    this.#active = active;
    this.#tracer = tracer;
    this.#measures = measures;
    this.origin = originOf(loan.message);
  }

  get message(): Message {
    return this.#loan.message;
  }

  get redelivered(): boolean {
    return this.#loan.redelivered;
  }

  get attempts(): number {
    return this.#loan.attempts;
  }

  accept(isMoved?: boolean): void {
    this.#loan.accept(isMoved);
    this.#end(isMoved ? "dead-lettered" : "accepted");
  }

  release(counted?: boolean): void {
    this.#loan.release(counted);
    this.#end("released");
  }

  /** The program is given the value. */
  received(): void {
    this.#received = moment();
  }

  /** The value is a request: its span is a child of the requester's, in whatever context the serving was begun. */
  serve(): void {
    this.#operation = "serve";
  }

  /** The span of the processing. */
  get span(): Span {
    return this.#span ??= this.#start();
  }

  /** The context of the span. */
  get context(): Context {
    return this.#context ??= trace.setSpan(this.#parent, this.span);
  }

  /** The active span, or else that of the put. */
  get #parent(): Context {
    const isActive = this.#operation === "process" && hasSpan(this.#active);
    return isActive ? this.#active : this.origin.context;
  }

  #start(): Span {
    const described = this.#destination.described(this.#operation, "process");
    const { links } = this.origin;
    const from = this.#received ??= moment();
    return startSpan(this.#tracer, SpanKind.CONSUMER, described, from, this.#parent, links);
  }

  #end(outcome: Outcome): void {
    if (this.#isEnded || this.#received === undefined) return;
    this.#isEnded = true;
    const { span } = this;
    const ms = since(this.#received);
    endSpan(span, this.#received, ms, {
      ...messageAttributes(this.message),
      "channelts.attempts": this.attempts,
      "channelts.outcome": outcome,
    });
    const { measured } = this.#destination.described(this.#operation, "process");
    this.#measures.processed(ms / 1000, measured);
  }
}
