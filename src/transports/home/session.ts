import { ChannelConnectionError } from "../../shared/errors.ts";
import type { ProcessRef } from "../remote/process_ref.ts";
import type { RemoteSession } from "../remote/remote_session.ts";
import { RuntimeTimer } from "../remote/runtime_timer.ts";
import { type Hello, helloFields, type Welcome, welcomeOf } from "./protocol/hello.ts";
import { type Frame, numberOf, ProtocolError, readFrame } from "./protocol/frame.ts";
import { errorOf } from "./protocol/wire_error.ts";
import type { Dial, Pipe, PipeObserver } from "./pipes/pipe.ts";
import { PutBudget } from "./put_budget.ts";
import { SettledLoans } from "./settled_loans.ts";

/** What all sessions of a transport share. */
export interface HomeSessionOptions {
  /** The address of the home, without credentials. */
  readonly address: string;
  readonly dial: Dial;
  readonly processRef: ProcessRef;
  /** The numbers of requests and of links, which are unique over all connections. */
  readonly numbers: Numbers;
  readonly hello: Hello;
}

/** Hands out numbers that were not used before. */
export class Numbers {
  #last = 0;

  /** Returns the first of `count` new numbers. */
  next(count = 1): number {
    const first = this.#last + 1;
    this.#last += count;
    return first;
  }
}

/** A request that waits for answers. */
export interface Answerer {
  /** Called for each frame that answers the request. */
  answer(frame: Frame): void;
  /** Called when the connection is lost. */
  lost?(): void;
}

/** A link on this connection, which is told of what happens to its channel. */
export interface Notified {
  said(event: Uint8Array): void;
  missed(count: number): void;
  gone(): void;
}

/** One connection to a home, from the greeting to its loss. */
export class HomeSession implements RemoteSession, PipeObserver {
  readonly address: string;
  readonly processRef: ProcessRef;
  readonly settled: SettledLoans;
  /** The time until the loss. It outlives the session in what remembers accepted messages. */
  readonly ackPeriod = { isLost: false };
  /** How many messages may be put before the home has answered. */
  readonly budget: PutBudget = new PutBudget();
  readonly #numbers: Numbers;
  readonly #answerers = new Map<number, Answerer>();
  readonly #links = new Map<number, Notified>();
  readonly #onLost = new Set<() => void>();
  readonly #openedAt = performance.now();
  #pipe: Pipe | undefined;
  #welcome: Welcome | undefined;
  #loss: Error | undefined;
  /** Called with the greeting, or with the reason why there is none. */
  #greeted: ((outcome: Welcome | Error) => void) | undefined;

  private constructor({ address, processRef, numbers }: HomeSessionOptions) {
    this.address = address;
    this.processRef = processRef;
    this.#numbers = numbers;
    this.settled = new SettledLoans((header) => this.#pipe?.send(header));
  }

  /**
   * Connects to a home. Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or when `signal` is
   * aborted.
   */
  static async connect(
    options: HomeSessionOptions,
    timeout: number,
    signal: AbortSignal,
  ): Promise<HomeSession> {
    const session = new HomeSession(options);
    const abandoned = new AbortController();
    const timer = new RuntimeTimer(
      () => abandoned.abort(new Error(`no answer within ${timeout} ms`)),
      timeout,
    );
    timer.unref(); // while an operation waits, the pipe keeps the process alive
    const onAbort = () => abandoned.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    try {
      await session.#open(options, abandoned.signal);
      return session;
    } catch (error) {
      const reason = connectError(error, options.address);
      session.#pipe?.abort(reason);
      throw reason;
    } finally {
      timer.stop();
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #open({ dial, hello, processRef }: HomeSessionOptions, signal: AbortSignal): Promise<void> {
    const pipe = await dial(this, signal);
    this.#pipe = pipe;
    if (this.#loss === undefined) {
      processRef.use(pipe);
      pipe.send(`HELLO ${helloFields(hello)}`);
    }
    const outcome = await new Promise<Welcome | Error>((resolve) => {
      this.#greeted = resolve;
      if (this.#loss !== undefined) return resolve(this.#loss);
      signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
      if (signal.aborted) resolve(signal.reason);
    });
    this.#greeted = undefined;
    if (outcome instanceof Error) throw outcome;
    this.#welcome = outcome;
    this.budget.most = outcome.maxPuts;
  }

  /** What the home has told of itself. */
  get welcome(): Welcome {
    return this.#welcome!;
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  get loss(): Error | undefined {
    return this.#loss;
  }

  get lossError(): ChannelConnectionError {
    const { address } = this;
    const cause = this.#loss!;
    if (cause instanceof ChannelConnectionError) return cause;
    return new ChannelConnectionError(`the connection to ${address} was lost: ${cause.message}`, {
      address,
      cause,
    });
  }

  get age(): number {
    return performance.now() - this.#openedAt;
  }

  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  // deno-lint-ignore require-await -- a broker's session waits
  async close(): Promise<void> {
    if (this.isLost) return;
    this.settled.flush();
    this.#lose(new Error("it was closed here"));
    this.#pipe!.close();
  }

  /** Ends the connection, because the home is not to be understood. */
  abort(error: Error): void {
    if (this.isLost) return;
    this.#lose(error);
    this.#pipe?.abort(error);
  }

  // Requests

  /** Returns a number of a link on this connection. */
  addLink(link: Notified): number {
    const number = this.#numbers.next();
    this.#links.set(number, link);
    return number;
  }

  removeLink(number: number): void {
    this.#links.delete(number);
  }

  /** Returns a number that is unique over all connections of the session. */
  newNumber(): number {
    return this.#numbers.next();
  }

  /** Returns the number of a new request. */
  newRequest(answerer: Answerer): number {
    return this.newRequests(1, answerer);
  }

  /** Returns the first of `count` numbers, each of which `answerer` has. */
  newRequests(count: number, answerer: Answerer): number {
    const first = this.#numbers.next(count);
    if (this.isLost) queueMicrotask(() => answerer.lost?.()); // nothing would ever answer
    else for (let i = 0; i < count; i++) this.#answerers.set(first + i, answerer);
    return first;
  }

  /** Ends a request: later answers are ignored. */
  endRequest(number: number): void {
    this.#answerers.delete(number);
  }

  /** Sends a frame. What was settled before leaves before it. */
  send(header: string, body?: Uint8Array): void {
    this.settled.flush();
    this.#pipe!.send(header, body);
  }

  // PipeObserver

  received(bytes: Uint8Array): void {
    if (this.isLost) return;
    try {
      this.#read(readFrame(bytes));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const { address } = this;
      const reason = new ChannelConnectionError(
        `${address} does not speak the protocol of homes: ${error.message}`,
        { address, cause: error, transient: this.#welcome !== undefined },
      );
      if (this.#greeted !== undefined) this.#greeted(reason);
      this.abort(reason);
    }
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    this.#lose(error ?? new Error("the home closed it"));
  }

  #read(frame: Frame): void {
    const { word, args, body } = frame;
    switch (word) {
      case "WELCOME":
        return this.#greeted?.(welcomeOf(frame));
      case "REFUSED":
        return this.#refused(errorOf(frame, this.address));
      case "SAID":
        return this.#links.get(numberOf(args[0]))?.said(body);
      case "MISSED":
        return this.#links.get(numberOf(args[0]))?.missed(numberOf(args[1]));
      case "GONE":
        return this.#links.get(numberOf(args[0]))?.gone();
    }
    if (answers.has(word)) this.#answerers.get(numberOf(args[0]))?.answer(frame);
  }

  #refused(error: Error): void {
    if (this.#greeted !== undefined) this.#greeted(error);
    else this.abort(error);
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    this.ackPeriod.isLost = true;
    this.#greeted?.(error);
    const answerers = new Set(this.#answerers.values());
    this.#answerers.clear();
    this.#links.clear();
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
    for (const answerer of answerers) answerer.lost?.();
  }
}

/** The words that answer a request, whose number is their first argument. */
const answers: ReadonlySet<string> = new Set([
  ...["OK", "NO", "FULL", "WAITS", "LEND", "NONE", "ROOM", "EMPTY"],
]);

function connectError(error: unknown, address: string): ChannelConnectionError {
  if (error instanceof ChannelConnectionError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ChannelConnectionError(`cannot connect to ${address}: ${text}`, {
    address,
    cause: error,
  });
}
