import { Case, type Choice, type GetCase, type Part, type PutCase } from "./case.ts";
import type { Handle } from "../handle/handle.ts";
import { type EncodedValue, encodeValue } from "../handle/encoded_value.ts";
import type { Operation, OperationOptions } from "../handle/operation.ts";
import { copyOfError } from "../shared/error_copies.ts";
import { ChannelConnectionError } from "../shared/errors.ts";
import { backOff } from "../shared/backoff.ts";
import type { TryPut } from "../handle/put.ts";
import type { Claim, Link, Loan, Message } from "../transports/transport.ts";

/** A case of {@linkcode Channel.getCase}. */
export class ChannelGet<T> extends Case implements GetCase<T> {
  readonly operation = "get";
  readonly #handle: Handle;
  readonly #owner: object;
  readonly #unpack: (message: Message) => T;

  /** @param owner what must not be collected while a select waits */
  constructor(handle: Handle, owner: object, unpack: (message: Message) => T) {
    super();
    this.#handle = handle;
    this.#owner = owner;
    this.#unpack = unpack;
  }

  part(choice: Choice): Part {
    return new GetPart(this.#handle, this.#owner, choice, this.#unpack);
  }
}

/** A case of {@linkcode Channel.putCase}. */
export class ChannelPut extends Case implements PutCase {
  readonly operation = "put";
  readonly #handle: Handle;
  readonly #owner: object;
  readonly #value: unknown;

  /** @param owner as for a get */
  constructor(handle: Handle, owner: object, value: unknown) {
    super();
    this.#handle = handle;
    this.#owner = owner;
    this.#value = value;
  }

  part(choice: Choice): Part {
    return new PutPart(this.#handle, this.#owner, choice, this.#value);
  }
}

/** What a get and a put have in common: an interest in a handle, until the select is decided. */
abstract class ChannelPart implements Part {
  protected readonly handle: Handle;
  protected readonly owner: object;
  protected readonly choice: Choice;
  #interest: Operation<void> | undefined;

  constructor(handle: Handle, owner: object, choice: Choice) {
    const closure = handle.closure(choice.action);
    if (closure?.reason === "close") throw closure;
    this.handle = handle;
    this.owner = owner;
    this.choice = choice;
  }

  abstract readonly isReady: boolean;
  abstract take(): void;
  /** @param interest ends when the part leaves, and by what ends it otherwise the case fails */
  protected abstract want(interest: Operation<void>): void;

  wait(): void {
    const closure = this.handle.closure(this.choice.action);
    if (closure !== undefined) return this.choice.fail(this, closure);
    const interest = this.#interest = this.handle.begin<void>(this.choice.action, this.owner);
    interest.whenSettled((failure) => {
      if (failure !== undefined && this.#interest === interest) {
        this.choice.fail(this, failure.reason);
      }
    });
    this.want(interest);
  }

  leave(): void {
    const interest = this.#interest;
    this.#interest = undefined;
    interest?.giveUp(undefined);
  }

  late(options: OperationOptions): Error | undefined {
    const error = this.handle.timeoutError(this.choice.action, options);
    return error instanceof ChannelConnectionError ? error : undefined;
  }
}

/** A get in one select: whatever reaches it in vain goes back. */
class GetPart<T> extends ChannelPart implements Claim {
  readonly counted = false;
  /** The select, which does not receive what it sends. */
  readonly group: object;
  readonly #unpack: (message: Message) => T;
  #loan: Loan | undefined;

  constructor(handle: Handle, owner: object, choice: Choice, unpack: (message: Message) => T) {
    super(handle, owner, choice);
    this.group = choice;
    this.#unpack = unpack;
  }

  get isReady(): boolean {
    return this.#loan !== undefined;
  }

  protected want(interest: Operation<void>): void {
    this.handle.withLink(interest, (link) => {
      if (!this.choice.isWaiting) return this.#ask(link, interest);
      interest.onGiveUp = () => link.withdraw(this);
      link.take(this);
    });
  }

  #ask(link: Link, interest: Operation<void>): void {
    link.tryTake(this.counted).then(
      (loan) => loan === undefined ? this.waits() : this.deliver(loan),
      (error) => interest.reject(error),
    );
  }

  take(): void {
    const loan = this.#loan!;
    this.#loan = undefined;
    this.leave();
    try {
      this.choice.done(this, this.#unpack(loan.message));
    } catch (error) {
      this.choice.fail(this, error);
    }
    loan.accept();
  }

  override leave(): void {
    super.leave();
    this.#loan?.release();
    this.#loan = undefined;
  }

  deliver(loan: Loan): void {
    this.#loan = loan;
    this.choice.ready(this);
  }

  waits(): void {
    this.choice.waiting(this);
  }

  reject(error: Error): void {
    this.choice.fail(this, error);
  }
}

/**
 * A put in one select. Nothing is handed to the transport before the case is chosen, so that there is
 * nothing to take back where it is not. A channel is taken to have room until it says that it is full.
 */
class PutPart extends ChannelPart {
  readonly isReady = true;
  readonly #value: unknown;
  #encoded: EncodedValue | Promise<EncodedValue>;
  /** There when the case is chosen. */
  #put: TryPut | undefined;
  /** How often in a row the channel was full. */
  #refusals = 0;

  constructor(handle: Handle, owner: object, choice: Choice, value: unknown) {
    super(handle, owner, choice);
    this.#value = value;
    this.#encoded = encodeValue(value, handle);
    if (this.#encoded instanceof Promise) this.#encoded.catch(() => {}); // who waits hears of it
  }

  protected want(interest: Operation<void>): void {
    if (this.#refusals > 0) return this.#awaitRoom(interest);
    if (this.handle.puts.isReady(this.#encoded)) return this.choice.ready(this);
    this.handle.puts.ready(this.#encoded, interest).then((encoded) => {
      this.#encoded = encoded;
      if (!interest.settled) this.choice.ready(this);
    }, (error) => interest.reject(copyOfError(error)));
  }

  #awaitRoom(interest: Operation<void>): void {
    this.choice.waiting(this);
    if (!this.choice.isWaiting || interest.settled) return;
    this.handle.withLink(interest, (link) => {
      const seek = () => this.#seekRoom(link, interest);
      const pause = this.#pause(link);
      if (pause === 0) return seek();
      const timer = setTimeout(seek, pause);
      interest.onGiveUp = () => clearTimeout(timer);
    });
  }

  /** Milliseconds before it tries again: those who were in each other's way are not to be so again. */
  #pause(link: Link): number {
    if (link.awaitRoom === undefined) return backOff(this.#refusals - 1, 4, 250);
    return this.#refusals === 1 ? 0 : backOff(this.#refusals - 2, 1, 100);
  }

  #seekRoom(link: Link, interest: Operation<void>): void {
    const tryAgain = () => interest.settled || this.choice.ready(this);
    if (link.awaitRoom === undefined) return void tryAgain();
    const waiter = { group: this.choice, tryAgain };
    interest.onGiveUp = () => link.withdraw(waiter);
    link.awaitRoom(waiter);
  }

  take(): void {
    this.leave();
    const closure = this.handle.closure(this.choice.action);
    if (closure !== undefined) return this.choice.fail(this, closure);
    const put = this.#put = this.handle.puts.newTryPut(
      this.choice.action,
      this.owner,
      {},
      this.#value,
    );
    // At once, so that nothing comes between: what was sent is never said to be given up.
    put.onOutcome = (outcome) => {
      if (outcome === "ok") return this.choice.done(this, undefined);
      this.#put = undefined;
      this.#refusals++;
      this.choice.lost(this);
    };
    put.whenSettled((failure) => failure && this.choice.fail(this, failure.reason));
    put.send(this.handle.link!, (this.#encoded as EncodedValue).message);
  }

  giveUp(reason: unknown, isOurs: boolean): void {
    this.#put?.giveUp(reason, isOurs);
  }

  override late(options: OperationOptions): Error | undefined {
    if (this.#put === undefined) return super.late(options);
    return this.handle.timeoutError(this.choice.action, options, this.#put.recall());
  }
}
