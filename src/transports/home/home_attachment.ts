import type { Claim, EmptyWaiter, Loan, RoomWaiter } from "../transport.ts";
import { Fifo } from "../../shared/fifo.ts";
import { HomeReadAhead, type ReadAheadOwner } from "./home_read_ahead.ts";
import type { Deduplication } from "../remote/deduplication.ts";
import type { Groups } from "../remote/groups.ts";
import { HomeLoan, type HomeLoanOwner } from "./loan.ts";
import type { Frame } from "./protocol/frame.ts";
import type { Answerer, HomeSession, Notified } from "./session.ts";

/** The link of an attachment. It outlasts its attachments. */
export interface HomeAttachmentOwner extends HomeLoanOwner, Notified {
  readonly deduplication: Deduplication<HomeLoan>;
  /** The claims that waited here were sent or served. */
  claimsSent(): void;
  /** A copy of a message that this process has had was dropped. */
  droppedCopy(): void;
  /** A claim was served. */
  lent(loan: HomeLoan): void;
  /** Returns the error that the home has answered to an operation. */
  refusal(action: string, frame: Frame): Error;
}

/** What a request contains besides its numbers. */
interface RequestContent {
  /** The JSON object, with a space before it. */
  readonly fields?: string;
  readonly body?: Uint8Array;
}

/** A claim or waiter that the home has, with the number of its request. */
type Waiter = Claim | RoomWaiter | EmptyWaiter;

/**
 * The attachment of a link on one connection: what it has asked the home, and what the home has not answered.
 *
 * Invariant: claims wait here, and not at the home, only while messages that were asked for ahead come. Until then, later
 * puts wait, too: a put that expires at once is for a claim before it.
 */
export class HomeAttachment implements ReadAheadOwner {
  readonly session: HomeSession;
  /** The number of the link on this connection. */
  readonly number: number;
  readonly #owner: HomeAttachmentOwner;
  /** The claims and waiters that wait, with the numbers of their requests; 0 for the claims in `#here`. */
  readonly #waiting = new Map<Waiter, number>();
  /** The claims that wait for messages that were asked for ahead. */
  readonly #here: Fifo<Claim> = new Fifo();
  readonly #ahead: HomeReadAhead = new HomeReadAhead(this);
  readonly #groups: Groups;

  constructor(session: HomeSession, owner: HomeAttachmentOwner, groups: Groups) {
    this.session = session;
    this.#owner = owner;
    this.#groups = groups;
    this.number = session.addLink(owner);
  }

  /**
   * Sends a request with one answer. Rejects with the home's refusal, or with the loss of the connection.
   *
   * @param read reads the answer
   */
  request<T>(
    action: string,
    word: string,
    read: (frame: Frame) => T,
    what: RequestContent = {},
  ): Promise<T> {
    const { session } = this;
    const { fields = "", body } = what;
    return new Promise<T>((resolve, reject) => {
      const number = session.newRequest({
        answer: (frame) => {
          // What throws here ends the connection, and the request is repeated.
          const outcome = frame.word === "NO" ? this.#owner.refusal(action, frame) : read(frame);
          session.endRequest(number);
          if (frame.word === "NO") reject(outcome);
          else resolve(outcome as T);
        },
        lost: () => reject(session.loss),
      });
      session.send(`${word} ${this.number} ${number}${fields}`, body);
    });
  }

  take(claim: Claim): void {
    const loan = this.#shiftAhead();
    if (loan !== undefined) {
      this.#lend(claim, loan, true);
      this.#ahead.ask();
      return;
    }
    if (this.#ahead.isAsking) {
      this.#here.push(claim);
      this.#waiting.set(claim, 0);
      this.session.processRef.ref();
      return;
    }
    const number = this.session.newRequest(new Take(claim, this));
    this.#begin("TAKE", claim, number, this.#fieldsOf(claim));
    if (!claim.counted) this.#ahead.ask();
  }

  #fieldsOf({ counted, group }: Claim): string {
    return fieldsOf({
      ...counted ? { counted } : {},
      ...group === undefined ? {} : { group: this.#groups.numberOf(group) },
    });
  }

  serve(loan: HomeLoan): boolean {
    const claim = this.#here.shift();
    if (claim === undefined) return false;
    this.#end(claim);
    this.#lend(claim, loan, true);
    return true;
  }

  /** Whether claims wait here. */
  get hasClaimsHere(): boolean {
    return this.#here.size > 0;
  }

  ended(): void {
    if (!this.hasClaimsHere) return this.#owner.claimsSent();
    for (const claim of this.#here.takeAll()) {
      const number = this.session.newRequest(new Take(claim, this));
      this.#waiting.set(claim, number);
      this.session.send(`TAKE ${this.number} ${number}${this.#fieldsOf(claim)}`);
    }
    this.#owner.claimsSent();
  }

  #lend(claim: Claim, loan: HomeLoan, hasFound: boolean): void {
    this.#ahead.served(loan, hasFound);
    this.#owner.lent(loan);
    claim.deliver(loan);
    if (!loan.isSettled) this.#owner.deduplication.hold(loan);
  }

  /** Removes the oldest message that was read ahead and may be lent. */
  #shiftAhead(): HomeLoan | undefined {
    for (;;) {
      const loan = this.#ahead.shift();
      if (loan === undefined || this.#mayLend(loan)) return loan; // another copy may have been lent meanwhile
    }
  }

  /** Reports whether a message may be lent. Otherwise it is a copy of one that this process has or had, and is settled. */
  #mayLend(loan: HomeLoan): boolean {
    if (!loan.redelivered) return true;
    const { deduplication } = this.#owner;
    const original = deduplication.find(loan);
    if (original === undefined) return true;
    if (original !== "accepted" && original.isStale) original.continueAs(loan);
    else {
      loan.drop();
      if (original === "accepted") deduplication.remember(loan);
      this.#owner.droppedCopy();
    }
    return false;
  }

  /** Gives back the messages that were read ahead. Resolves when the home has been told. */
  giveBack(): Promise<void> {
    return this.#ahead.giveBack();
  }

  awaitRoom(waiter: RoomWaiter): void {
    const { group } = waiter;
    const fields = fieldsOf({
      aside: true,
      ...group === undefined ? {} : { group: this.#groups.numberOf(group) },
    });
    const number = this.session.newRequest({
      answer: () => this.#end(waiter) && waiter.tryAgain(), // a refusal, too, is for the offer to learn
    });
    this.#begin("ROOM", waiter, number, fields);
  }

  awaitEmpty(waiter: EmptyWaiter): void {
    const number = this.session.newRequest({
      answer: (frame) => {
        this.#end(waiter);
        if (frame.word === "NO") waiter.reject(this.#owner.refusal("whenEmpty", frame));
        else waiter.empty();
      },
    });
    this.#begin("EMPTY", waiter, number, "");
  }

  withdraw(waiter: Waiter): boolean {
    const number = this.#waiting.get(waiter);
    if (number === undefined) return false;
    this.#end(waiter);
    if (number === 0) return this.#here.remove(waiter as Claim);
    this.session.send(`DROP ${number}`);
    // A message that has crossed it goes back, and is older than those that come.
    if (this.#ahead.isAsking) this.giveBack();
    return true;
  }

  async tryTake(counted: boolean): Promise<Loan | undefined> {
    await this.#ahead.ended();
    const ahead = this.#shiftAhead();
    if (ahead !== undefined) return this.#lendTried(ahead);
    for (;;) {
      const fields = fieldsOf(counted ? { counted } : {});
      const isNothing = Symbol();
      const loan = await this.request(
        "get",
        "TRY",
        (frame) => frame.word === "LEND" ? this.loanOf(frame) : isNothing,
        { fields },
      );
      if (loan === isNothing) return undefined;
      if (loan !== undefined) return this.#lendTried(loan); // otherwise it was a copy
    }
  }

  #lendTried(loan: HomeLoan): HomeLoan {
    this.#owner.lent(loan);
    this.#owner.deduplication.hold(loan);
    return loan;
  }

  /** Returns the loan of a `LEND`; undefined if it is a copy, which is settled. */
  loanOf(frame: Frame): HomeLoan | undefined {
    const loan = new HomeLoan(frame, this.session, this.#owner);
    return this.#mayLend(loan) ? loan : undefined;
  }

  /** The home has answered a claim with `LEND` or a refusal. */
  answered(claim: Claim, frame: Frame, hasFound: boolean): void {
    if (frame.word !== "LEND") {
      const refusal = this.#owner.refusal("get", frame);
      // If the channel is gone, the owner has been told, and may have withdrawn the claim.
      if (this.#waiting.has(claim) && this.#end(claim)) claim.reject(refusal);
      return;
    }
    const loan = this.loanOf(frame); // before the claim ends, since a frame that cannot be read ends the connection
    this.#end(claim);
    if (loan === undefined) this.take(claim);
    else this.#lend(claim, loan, hasFound);
  }

  /** Ends a claim or waiter; the process is kept alive for it no more. */
  #end(waiter: Waiter): true {
    const number = this.#waiting.get(waiter)!;
    this.#waiting.delete(waiter);
    if (number > 0) this.session.endRequest(number);
    this.session.processRef.unref();
    return true;
  }

  /** Ends all, and returns the claims and waiters that were not served. */
  takeAll(): Waiter[] {
    const all = [...this.#waiting.keys()];
    this.#here.takeAll();
    for (const waiter of all) this.#end(waiter);
    this.#ahead.lost();
    return all;
  }

  #begin(word: string, waiter: Waiter, number: number, fields: string): void {
    this.#waiting.set(waiter, number);
    this.session.processRef.ref();
    this.session.send(`${word} ${this.number} ${number}${fields}`);
  }
}

/** The request of a claim. */
class Take implements Answerer {
  readonly #claim: Claim;
  readonly #attachment: HomeAttachment;
  #hasWaited = false;

  constructor(claim: Claim, attachment: HomeAttachment) {
    this.#claim = claim;
    this.#attachment = attachment;
  }

  answer(frame: Frame): void {
    if (frame.word !== "WAITS") {
      return this.#attachment.answered(this.#claim, frame, !this.#hasWaited);
    }
    this.#hasWaited = true;
    this.#claim.waits?.();
  }
}

/** Returns a JSON object as the last argument of a header; nothing if it has no members. */
export function fieldsOf(fields: object): string {
  for (const _ in fields) return ` ${JSON.stringify(fields)}`;
  return "";
}
