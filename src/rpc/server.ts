import { Delivery } from "../handle/delivery.ts";
import { isDeadLetterError } from "../handle/dead_letters.ts";
import type { Handle } from "../handle/handle.ts";
import { Counter } from "../shared/counter.ts";
import { current } from "../shared/instrumentation.ts";
import {
  ChannelClosedError,
  ChannelError,
  ChannelReferenceError,
  ChannelSizeError,
} from "../shared/errors.ts";
import { isAnonymous } from "../shared/names.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { longestTimer } from "../shared/timers.ts";
import { readRequest, type Request, writeError, writeReply } from "./protocol.ts";
import { errorToBriefData, errorToData, shortened } from "./remote_error.ts";
import type { Draft, Job, Reply } from "./reply_channel.ts";
import { ReplyChannels } from "./reply_channels.ts";

/** A handler of requests. */
export type Handler = (value: unknown, context: { readonly signal: AbortSignal }) => unknown;

/** The options of {@linkcode Server}, as `serve` takes them. */
export interface ServerOptions {
  readonly stacks?: boolean;
  readonly replyTimeout?: number;
  readonly replyTo?: "same-broker" | "any";
  readonly onerror?: (error: unknown, request: never) => void | Promise<void>;
}

/**
 * Handles the requests of one `serve` call, and puts the replies.
 *
 * Invariants: a request is in `#unsettled` from its receipt until it is accepted, released or refused. It counts as
 * being handled until its reply is put, or waits for room.
 */
export class Server {
  /** Counts the requests that are being handled. */
  readonly handling: Counter = new Counter();
  /** Counts the requests that are not settled. */
  readonly #open = new Counter();
  readonly #unsettled = new Map<Delivery<unknown>, Job | undefined>();
  readonly #handle: Handle;
  readonly #handler: Handler;
  readonly #options: ServerOptions;
  readonly #replyChannels: ReplyChannels;

  constructor(handle: Handle, handler: Handler, options: ServerOptions) {
    const { stacks = false, replyTo, replyTimeout: timeout = defaultReplyTimeout } = options;
    this.#handle = handle;
    this.#handler = handler;
    this.#options = options;
    this.#replyChannels = new ReplyChannels({ stacks, timeout, create: replyTo === "any" });
  }

  /** Begins to handle a request. */
  begin(delivery: Delivery<unknown>): void {
    this.handling.add();
    this.#open.add();
    this.#unsettled.set(delivery, undefined);
    this.#serve(delivery);
  }

  /** Waits `grace` milliseconds for the open requests, then aborts their handlers and releases them. Bounded in time. */
  async end(grace: number): Promise<void> {
    const ended = this.#open.below(1);
    await (grace === Infinity ? ended : within(Math.min(grace, longestTimer), ended));
    if (this.#unsettled.size > 0) {
      const reason = new DOMException("the serving has ended", "AbortError");
      for (const [delivery, job] of this.#unsettled) {
        delivery.release();
        job?.abort(reason);
      }
      await within(closeTimeout, ended);
    }
    await this.#replyChannels.close();
  }

  /** Calls `onerror`, or else the logger, with an error that no requester receives. */
  tell(error: unknown, request: unknown): void {
    const onerror = this.#options.onerror as
      | ((error: unknown, request: unknown) => void | Promise<void>)
      | undefined;
    if (onerror !== undefined) {
      (async () => await onerror(error, request))().catch((thrown) =>
        this.#report("the option onerror failed", thrown)
      );
    } else if (!isDeadLetterError(error)) this.#report("a message was not answered", error);
  }

  #report(problem: string, error: unknown): void {
    const { name, message } = errorToBriefData(error);
    this.#handle.report(`serve: channel ${this.#handle.title}: ${problem}: ${name}: ${message}`);
  }

  async #serve(delivery: Delivery<unknown>): Promise<void> {
    let waiting: Promise<void> | undefined;
    try {
      ({ waiting } = await this.#answer(delivery));
    } catch (error) {
      this.tell(error, undefined);
    }
    this.handling.done();
    if (waiting !== undefined) await waiting;
    this.#settle(delivery);
  }

  #settle(delivery: Delivery<unknown>): void {
    this.#unsettled.get(delivery)?.end();
    this.#unsettled.delete(delivery);
    delivery.accept(); // it does nothing if the delivery was refused or released
    this.#open.done();
  }

  /** Handles a request. Resolves when another one may be handled; `waiting` of the reply never rejects. */
  async #answer(delivery: Delivery<unknown>): Promise<Reply> {
    const request = readRequest(delivery.value);
    const refusal = this.#refusal(request);
    if (request === undefined || refusal !== undefined) {
      Delivery.refuse(delivery, refusal!.message);
      this.tell(refusal, request?.value);
      return {};
    }
    const job = this.#replyChannels.begin(request);
    this.#unsettled.set(delivery, job);
    const drafts = await this.#draftsFor(request, job, delivery);
    const failed = (error: unknown) => this.#onUnanswered(error, request, job);
    if (job.signal.aborted) {
      failed(job.refusal);
      return {};
    }
    try {
      const { waiting } = await job.reply(drafts);
      return waiting === undefined ? {} : { waiting: waiting.catch(failed) };
    } catch (error) {
      failed(error);
      return {};
    }
  }

  /** Returns the reason why a message is not handled; undefined if it is. */
  #refusal(request: Request | undefined): ChannelError | undefined {
    const { title, name, connection } = this.#handle;
    if (request === undefined) {
      return new ChannelError(`serve: channel ${title}: a message is no request`);
    }
    const { replyTo } = request;
    const isOwn = replyTo.name === name || replyTo.name === `${name}.dead-letters`;
    if (replyTo.connection === connection && isOwn) {
      return new ChannelReferenceError(
        `serve: channel ${title}: a request names ${replyTo.name} for its reply, which would come back`,
      );
    }
    if (replyTo.connection === connection || this.#options.replyTo === "any") return undefined;
    return new ChannelReferenceError(
      `serve: channel ${title}: a request names ${replyTo.title} for its reply, on another connection; ` +
        `the option replyTo: "any" allows that`,
    );
  }

  /** Reports that a reply could not be put, unless the requester no longer waits. */
  #onUnanswered(error: unknown, { value, replyTo }: Request, { signal }: Job): void {
    if (error === undefined || error === signal.reason) return;
    if (error instanceof ChannelClosedError && error.reason !== "drain") {
      if (error.reason !== "missing" || isAnonymous(replyTo.name)) return;
    }
    this.tell(error, value);
  }

  /** Calls the handler, and returns the replies to try, one after the other. */
  async #draftsFor(
    { id, value, replyTo }: Request,
    job: Job,
    delivery: Delivery,
  ): Promise<Draft[]> {
    const { stacks = false } = this.#options;
    const options = { stacks, sizeOf: job.sizeOf };
    try {
      const handle = () => this.#handler(value, { signal: job.signal });
      const result = await (current ? current.serve(Delivery.loanOf(delivery), handle) : handle());
      return [
        () => writeReply(id, result, replyTo),
        (failure) => writeError(id, errorToData(resultError(failure), options)),
      ];
    } catch (error) {
      return [
        () => writeError(id, errorToData(error, options)),
        () => writeError(id, errorToBriefData(error)),
        () => writeError(id, shortened(errorToBriefData(error))),
      ];
    }
  }
}

/** Returns the error for a requester whose handler returned a value that could not be put. */
function resultError(cause: unknown): Error {
  if (!(cause instanceof ChannelSizeError)) {
    const { message } = errorToBriefData(cause);
    return new TypeError(`the handler returned a value that cannot be encoded: ${message}`);
  }
  const { size, limit } = cause;
  return new RangeError(
    `the handler returned a value that is too large: the reply has ${size} bytes, and ${limit} are allowed`,
  );
}

/** Milliseconds. */
const defaultReplyTimeout = 10_000;
