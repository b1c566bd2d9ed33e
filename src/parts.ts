import { Case, type Choice, type Part, type ReceiveCase, type SendCase } from "./cases.ts";
import { ChannelConnectionError } from "./errors.ts";
import type { Handle } from "./handle.ts";
import { pack, type Parcel } from "./message.ts";
import type { Operation, OperationOptions } from "./operation.ts";
import type { Put } from "./transfers.ts";
import type { Claim, Loan, Message } from "./transport.ts";

/** A case of {@linkcode Channel.recv}. */
export class ChannelReceive<T> extends Case implements ReceiveCase<T> {
  readonly direction = "receive";
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
    return new ReceivePart(this.#handle, this.#owner, choice, this.#unpack);
  }
}

/** A case of {@linkcode Channel.send}. */
export class ChannelSend extends Case implements SendCase {
  readonly direction = "send";
  readonly #handle: Handle;
  readonly #owner: object;
  readonly #value: unknown;

  /** @param owner as a receive's */
  constructor(handle: Handle, owner: object, value: unknown) {
    super();
    this.#handle = handle;
    this.#owner = owner;
    this.#value = value;
  }

  part(choice: Choice): Part {
    return new SendPart(this.#handle, this.#owner, choice, this.#value);
  }
}

/** What a receive and a send have in common: an interest in a handle, until the select is decided. */
abstract class ChannelPart implements Part {
  protected readonly handle: Handle;
  protected readonly owner: object;
  protected readonly choice: Choice;
  #interest: Operation<void> | undefined;

  constructor(handle: Handle, owner: object, choice: Choice) {
    const closure = handle.closure("select");
    if (closure?.reason === "close") throw closure;
    this.handle = handle;
    this.owner = owner;
    this.choice = choice;
  }

  abstract glance(): boolean | undefined;
  abstract ask(): Promise<void>;
  abstract wait(): void;
  /** Has the case happen on a handle that is open. */
  protected abstract act(): boolean;

  take(): boolean {
    const closure = this.handle.closure("select");
    if (closure === undefined) return this.act();
    this.choice.fail(this, closure);
    return true;
  }

  leave(): void {
    this.#interest?.giveUp(undefined);
    this.#interest = undefined;
  }

  late(options: OperationOptions): Error | undefined {
    const error = this.handle.late("select", options);
    return error instanceof ChannelConnectionError ? error : undefined;
  }

  /** Whatever ends it before the part has left, is the case's failure. Undefined where that is now. */
  protected interest(): Operation<void> | undefined {
    const closure = this.handle.closure("select");
    if (closure !== undefined) {
      this.choice.fail(this, closure);
      return undefined;
    }
    const interest = this.#interest = this.handle.newPart(this.owner);
    interest.promise.catch((error) => {
      if (this.#interest === interest) this.choice.fail(this, error);
    });
    return interest;
  }
}

/** A receive in one select: whatever reaches it too late goes back. */
class ReceivePart<T> extends ChannelPart implements Claim {
  readonly counted = false;
  readonly #unpack: (message: Message) => T;
  /** Set while it is only looked whether there is a message. */
  #isGlancing = false;
  /** What was found then. */
  #held: Loan | undefined;

  constructor(handle: Handle, owner: object, choice: Choice, unpack: (message: Message) => T) {
    super(handle, owner, choice);
    this.#unpack = unpack;
  }

  glance(): boolean | undefined {
    if (this.handle.closed) return true;
    const { link, reach } = this.handle;
    if (link === undefined || reach !== "isolate") return undefined;
    this.#isGlancing = true;
    link.take(this);
    this.#isGlancing = false;
    if (this.#held !== undefined) return true;
    return link.withdraw(this) ? false : undefined;
  }

  protected act(): boolean {
    const loan = this.#held;
    if (loan === undefined) return false;
    this.#held = undefined;
    this.#receive(loan);
    return true;
  }

  async ask(): Promise<void> {
    const interest = this.interest();
    if (interest === undefined) return;
    await new Promise<void>((resolve) => {
      interest.promise.catch(() => {}).finally(resolve);
      this.handle.withLink(interest, (link) => {
        link.tryTake(this.counted).then((loan) => {
          if (loan !== undefined) this.#receive(loan);
          resolve();
        }, (error) => interest.reject(error));
      });
    });
  }

  wait(): void {
    const interest = this.interest();
    if (interest === undefined) return;
    this.handle.withLink(interest, (link) => {
      interest.onGiveUp = () => link.withdraw(this);
      link.take(this);
    });
  }

  override leave(): void {
    super.leave();
    this.#held?.release();
    this.#held = undefined;
  }

  deliver(loan: Loan): void {
    if (this.#isGlancing) this.#held = loan;
    else this.#receive(loan);
  }

  reject(error: Error): void {
    this.choice.fail(this, error);
  }

  #receive(loan: Loan): void {
    if (!this.choice.choose(this)) return loan.release();
    try {
      this.choice.done(this, this.#unpack(loan.message));
    } catch (error) {
      this.choice.fail(this, error);
    }
    loan.accept();
  }
}

/**
 * A send in one select. Nothing is handed to the transport before the case is chosen, so that there is
 * nothing to take back where it is not.
 */
class SendPart extends ChannelPart {
  readonly #value: unknown;
  #parcel: Parcel | Promise<Parcel>;
  /** There when the case is chosen. */
  #put: Put | undefined;

  constructor(handle: Handle, owner: object, choice: Choice, value: unknown) {
    super(handle, owner, choice);
    this.#value = value;
    this.#parcel = pack(value, handle);
    if (!(this.#parcel instanceof Promise)) return;
    this.#parcel.then((parcel) => this.#parcel = parcel, () => {}); // who waits hears of it
  }

  /** A channel always has room. One that is full is to say false here, and to be waited for below. */
  glance(): boolean | undefined {
    return this.handle.closed || this.handle.isReady(this.#parcel) || undefined;
  }

  protected act(): boolean {
    return this.#send(this.#parcel as Parcel);
  }

  async ask(): Promise<void> {
    const interest = this.interest();
    if (interest === undefined) return;
    try {
      const parcel = await this.handle.ready(this.#parcel, interest);
      if (!interest.settled) this.#send(parcel);
    } catch (error) {
      interest.reject(error);
      await interest.promise.catch(() => {});
    }
  }

  wait(): void {
    if (this.handle.isReady(this.#parcel)) this.act();
    else void this.ask();
  }

  #send({ message }: Parcel): boolean {
    const { link } = this.handle;
    if (link === undefined || !this.choice.choose(this)) return false;
    const put = this.#put = this.handle.newPut("select", this.owner, {}, this.#value);
    put.promise.then(
      () => this.choice.done(this, undefined),
      (error) => this.choice.fail(this, error),
    );
    put.send(link, message);
    return true;
  }

  giveUp(reason: unknown): void {
    this.#put?.giveUp(reason);
  }

  override late(options: OperationOptions): Error | undefined {
    if (this.#put === undefined) return super.late(options);
    return this.handle.late("select", options, this.#put.recall());
  }
}
