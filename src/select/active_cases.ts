// Cases of channels in a running select. A program that uses no select does not contain this code: the cases that
// channels make do not refer to it.

import { type EncodedValue, encodeValue } from "../handle/encoded_value.ts";
import type { Handle } from "../handle/handle.ts";
import type { Operation, OperationOptions } from "../handle/operation.ts";
import type { TryPut } from "../handle/put.ts";
import { backOff } from "../shared/backoff.ts";
import { current } from "../shared/instrumentation.ts";
import { copyOfError } from "../shared/error_copies.ts";
import { ChannelConnectionError } from "../shared/errors.ts";
import type { Claim, Link, Loan, Message } from "../transports/transport.ts";
import type { ActiveCase, RunningSelect, SelectCase } from "./case.ts";
import { ChannelGetCase, ChannelPutCase, type ChosenGet, type ChosenPut } from "./channel_cases.ts";

/** Returns a case in one select. @throws the error of the select, for example for a value that cannot be encoded */
export function activated(named: SelectCase, select: RunningSelect): ActiveCase {
  if (named instanceof ChannelGetCase) return new ActiveGet(named.get, select);
  if (named instanceof ChannelPutCase) return new ActivePut(named.put, select);
  return named.activate!(select);
}

/** The common part of a get and a put: an operation of the handle that lasts while the case is watched. */
abstract class ActiveChannelCase implements ActiveCase {
  protected readonly handle: Handle;
  protected readonly owner: object;
  protected readonly select: RunningSelect;
  #watching: Operation<void> | undefined;

  constructor(handle: Handle, owner: object, select: RunningSelect) {
    const closure = handle.closure(select.action);
    if (closure?.reason === "close") throw closure;
    this.handle = handle;
    this.owner = owner;
    this.select = select;
  }

  abstract readonly isReady: boolean;
  abstract run(): void;
  /** @param watching given up when the case is withdrawn; if it fails otherwise, the case fails */
  protected abstract watchDuring(watching: Operation<void>): void;

  watch(): void {
    const closure = this.handle.closure(this.select.action);
    if (closure !== undefined) return this.select.fail(this, closure);
    const watching = this.#watching = this.handle.begin<void>(this.select.action, this.owner);
    watching.whenSettled((failure) => {
      if (failure !== undefined && this.#watching === watching) {
        this.select.fail(this, failure.reason);
      }
    });
    this.watchDuring(watching);
  }

  withdraw(): void {
    const watching = this.#watching;
    this.#watching = undefined;
    watching?.giveUp(undefined);
  }

  timeoutError(options: OperationOptions): Error | undefined {
    const { action, isWaiting } = this.select;
    if (!isWaiting) return this.handle.unansweredError(action, options.timeout!);
    const error = this.handle.timeoutError(action, options);
    return error instanceof ChannelConnectionError ? error : undefined;
  }
}

/** A get in one select. A loan that it does not use is released. */
class ActiveGet<T> extends ActiveChannelCase {
  readonly #decode: (message: Message) => T;
  #loan: Loan | undefined;

  constructor({ handle, owner, decode }: ChosenGet<T>, select: RunningSelect) {
    super(handle, owner, select);
    this.#decode = decode;
  }

  get isReady(): boolean {
    return this.#loan !== undefined;
  }

  protected watchDuring(watching: Operation<void>): void {
    // One for each watch: a link may still serve the claim of a watch that has ended.
    const claim = {
      counted: false,
      group: this.select, // its gets do not receive from its puts
      deliver: (loan: Loan) => this.#deliver(loan),
      waits: () => watching.settled || this.select.notReady(this),
      reject: (error: Error) => watching.settled || this.select.fail(this, error),
    };
    this.handle.withLink(watching, (link) => {
      if (!this.select.isWaiting) return this.#tryTake(link, claim);
      watching.onGiveUp = () => link.withdraw(claim);
      link.take(claim);
    });
  }

  #tryTake(link: Link, { deliver, waits, reject }: Required<Claim>): void {
    link.tryTake(false).then((loan) => loan === undefined ? waits() : deliver(loan), reject);
  }

  run(): void {
    const loan = this.#loan!;
    this.#loan = undefined;
    this.withdraw();
    current?.selected(this.owner, this.select.action, loan);
    try {
      this.select.done(this, this.#decode(loan.message));
    } catch (error) {
      this.select.fail(this, error);
    }
    loan.accept();
  }

  override withdraw(): void {
    super.withdraw();
    this.#loan?.release();
    this.#loan = undefined;
  }

  #deliver(loan: Loan): void {
    if (this.#loan) return loan.release(); // an earlier watch, which ended as it was answered, has brought one
    this.#loan = loan;
    this.select.ready(this);
  }
}

/**
 * A put in one select. The message is not given to the transport before the case is chosen, so that nothing must be
 * withdrawn if it is not. The channel is assumed to have room until the transport reports that it is full.
 */
class ActivePut extends ActiveChannelCase {
  readonly isReady = true;
  readonly #value: unknown;
  #encoded: EncodedValue | Promise<EncodedValue>;
  /** Set when the case is chosen. */
  #put: TryPut | undefined;
  /** The number of times in a row that the channel was full. */
  #refusals = 0;

  constructor({ handle, owner, value }: ChosenPut, select: RunningSelect) {
    super(handle, owner, select);
    this.#value = value;
    this.#encoded = encodeValue(value, handle);
    if (this.#encoded instanceof Promise) this.#encoded.catch(() => {}); // reported when it is awaited
  }

  protected watchDuring(watching: Operation<void>): void {
    if (this.#refusals > 0) return this.#awaitRoom(watching);
    if (this.handle.puts.isReady(this.#encoded)) return this.select.ready(this);
    this.handle.puts.ready(this.#encoded, watching).then((encoded) => {
      this.#encoded = encoded;
      if (!watching.settled) this.select.ready(this);
    }, (error) => watching.reject(copyOfError(error)));
  }

  #awaitRoom(watching: Operation<void>): void {
    this.select.notReady(this);
    if (!this.select.isWaiting || watching.settled) return;
    this.handle.withLink(watching, (link) => {
      const request = () => this.#requestRoom(link, watching);
      const pause = this.#pause(link);
      if (pause === 0) return request();
      const timer = setTimeout(request, pause);
      watching.onGiveUp = () => clearTimeout(timer);
    });
  }

  /** Returns the milliseconds before the next attempt: random, so that selects that collided do not collide again. */
  #pause(link: Link): number {
    if (link.awaitRoom === undefined) return backOff(this.#refusals - 1, 4, 250);
    return this.#refusals === 1 ? 0 : backOff(this.#refusals - 2, 1, 100);
  }

  #requestRoom(link: Link, watching: Operation<void>): void {
    const tryAgain = () => watching.settled || this.select.ready(this);
    if (link.awaitRoom === undefined) return void tryAgain();
    const waiter = { group: this.select, tryAgain };
    watching.onGiveUp = () => link.withdraw(waiter);
    link.awaitRoom(waiter);
  }

  run(): void {
    this.withdraw();
    const closure = this.handle.closure(this.select.action);
    if (closure !== undefined) return this.select.fail(this, closure);
    const put = this.#put = this.handle.puts.newTryPut(
      this.select.action,
      this.owner,
      {},
      this.#value,
    );
    // Called in the turn of the outcome, so that no timeout comes between and reports that a sent value was given up.
    put.onOutcome = (outcome) => {
      if (outcome === "ok") return this.select.done(this, undefined);
      this.#put = undefined;
      this.#refusals++;
      this.select.retry(this);
    };
    put.whenSettled((failure) => failure && this.select.fail(this, failure.reason));
    put.send(this.handle.link!, (this.#encoded as EncodedValue).message);
  }

  giveUp(reason: unknown, isOurs: boolean): void {
    this.#put?.giveUp(reason, isOurs);
  }

  override timeoutError(options: OperationOptions): Error | undefined {
    if (this.#put === undefined) return super.timeoutError(options);
    return this.handle.timeoutError(this.select.action, options, this.#put.recall());
  }
}
