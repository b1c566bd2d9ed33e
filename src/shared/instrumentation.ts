/**
 * The one place where telemetry is added to the library. Without an instrumentation an operation costs one check of
 * `current`. The entry ./opentelemetry sets it; nothing else in src/ knows of telemetry.
 *
 * @module
 */

/** An operation, as an instrumentation sees it. */
export interface InstrumentedOperation {
  /** The name of the public function that was called. */
  readonly action: string;
  /** The channel that it was called on. */
  readonly owner: object;
  /** What the caller may abort it by. */
  readonly signal: AbortSignal | undefined;
  readonly settled: boolean;
  /** Calls `listener` when the operation settles; `failure` is undefined if it has succeeded. */
  whenSettled(listener: (failure: { readonly reason: unknown } | undefined) => void): void;
}

/** What is told of operations. No function throws. */
export interface Instrumentation {
  /** An operation begins: a put, a get, a request, or any other. The put of a request begins next, in the same turn. */
  begin(operation: InstrumentedOperation): void;
  /** A put gives a message to its transport. Returns the message with its headers. */
  send<M extends object>(put: InstrumentedOperation, message: M): M;
  /** An operation claims a message. Returns the claim to use. An operation may claim again if it got a dead letter. */
  take<C extends object>(operation: InstrumentedOperation, claim: C): C;
  /** A select has chosen a message. */
  selected(owner: object, action: string, loan: object): void;
  /** A request was received. @param handle calls the handler, in this turn */
  serve<R>(loan: object, handle: () => R): R;
  /** A received value is passed on. @param put puts it into another channel, in this turn */
  pass<R>(loan: object, put: () => R): R;
}

/** The instrumentation of this process; undefined for none. */
export let current: Instrumentation | undefined;

/** Sets the instrumentation. Operations that have begun keep the one that they began with. */
export function setInstrumentation(instrumentation: Instrumentation | undefined): void {
  current = instrumentation;
}
