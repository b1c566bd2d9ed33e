import { randomHex } from "../../shared/hex.ts";
import type { LinkOptions } from "../transport.ts";
import { RedisLoan } from "./gets/loan.ts";
import { inParts } from "./in_parts.ts";
import { type RedisAttachment, unknownEpoch } from "./redis_attachment.ts";
import type { AnnouncedEvents } from "./redis_events.ts";
import { RedisLostLoans } from "./gets/redis_lost_loans.ts";
import type { RedisSettlements } from "./gets/redis_settlements.ts";

/** What an attachment has found. */
export interface Found {
  readonly attachment: RedisAttachment;
  readonly isClosed: boolean;
  readonly isLeased: boolean;
  readonly events: AnnouncedEvents;
  /** The time in milliseconds until something is due; -1: nothing is. */
  readonly due: number;
  /** The loans that the link had before and has still, as the server knows them. */
  readonly kept: ReadonlySet<string>;
  /** Whether the server still has something of the former attachments, which are detached then. */
  readonly hasLeft: boolean;
}

/**
 * What a link continues on its next connection: the channel that it is attached to, its loans, and the names of its former
 * attachments, whose claims the server forgets.
 *
 * Invariant: each attachment that may have taken effect is among the formers until a later one has.
 */
export class RedisContinuation {
  readonly #options: LinkOptions;
  readonly #settlements: RedisSettlements;
  /** The loans that claimants hold, by what the server knows them by. */
  readonly #held = new Map<string, RedisLoan>();
  readonly #lost: RedisLostLoans;
  /** The epoch of the channel, once the link was attached. */
  #epoch = "";
  /** The holders of the last attachment, and of attempts since: their answers may have been lost after they took effect. */
  #formers: string[] = [];
  /** What the former attachments have asked for, as the server notes it. */
  #asked: string[] = [];
  /** Whether the server has refused an attachment for which the link has not waited. */
  #wasRefused = false;

  constructor(options: LinkOptions, settlements: RedisSettlements) {
    this.#options = options;
    this.#settlements = settlements;
    this.#lost = new RedisLostLoans(settlements);
  }

  /** Whether the link was attached to the channel, as far as it knows. */
  get wasAttached(): boolean {
    return this.#epoch !== "" && this.#epoch !== unknownEpoch;
  }

  /** Whether nothing but a refusal of the server can keep the link from attaching, so that it need not wait for the answer. */
  get isSure(): boolean {
    const { create, isNew } = this.#options;
    return isNew === true && create && !this.wasAttached && !this.#wasRefused;
  }

  /** The names of the attachments that may have taken effect, and that are not detached. */
  get holders(): readonly string[] {
    return [...this.#formers];
  }

  /** A claimant gets a loan. */
  lent(loan: RedisLoan): void {
    this.#held.set(loan.entry, loan);
  }

  /** Forgets a loan. Reports whether the link had it: not if another process has the message, or another message its number. */
  settled(loan: RedisLoan): boolean {
    if (this.#held.get(loan.entry) === loan) return this.#held.delete(loan.entry);
    this.#lost.settled(loan);
    return false;
  }

  /** Reports whether a message that has come is one that a claimant here holds or has accepted, and then keeps it from others. */
  keepsBack(loan: RedisLoan): boolean {
    const found = this.#lost.find(loan);
    if (found instanceof RedisLoan) this.#held.set(found.entry, found);
    return found !== undefined;
  }

  /** Attaches. Rejects with the server's refusal, or with the loss of the connection. */
  async attach(attachment: RedisAttachment): Promise<Found> {
    const { create, lease, capacity } = this.#options;
    // A new name whose attachment was not answered is made again, as it may never have been made.
    if (!this.wasAttached) this.#epoch = "";
    const messages = this.wasAttached
      ? [...this.#held.values(), ...this.#settlements.messages]
      : [];
    const fixed = [
      this.#epoch,
      create ? "1" : "0",
      randomHex(12),
      lease === undefined ? "" : String(lease),
      capacity === undefined ? "" : String(capacity),
      this.#formers.join(" "),
    ];
    const held = inParts(messages.map(({ entry, id = "" }) => [entry, id]));
    const asked = inParts(this.#asked);
    const count = Math.max(held.length, asked.length);
    const parts = Array.from({ length: count }, (_, i) => {
      const [loans = [], entries = []] = [held[i], asked[i]];
      const isLast = i + 1 === count;
      return [isLast ? "0" : "1", String(i), String(loans.length), ...loans.flat(), ...entries];
    });
    const attaching = Promise.all(parts.map((part) => attachment.attach([...fixed, ...part])));
    this.#formers.push(attachment.holder);
    try {
      const replies = await attaching;
      const last = replies.at(-1);
      const [epoch, bound, closed, events, control, controlEvent, due, , leased, left] = last;
      const kept = replies.flatMap((reply) => reply[7]);
      if (this.#epoch === attachment.epoch) this.#epoch = String(epoch); // the link has not waited for it
      attachment.epoch = String(epoch);
      attachment.announced = last[10];
      attachment.capacity = bound < 0 ? undefined : bound;
      return {
        attachment,
        isClosed: closed === 1,
        isLeased: leased === 1,
        events: { count: events, control, controlEvent },
        due,
        kept: new Set(messages.filter((_, i) => kept[i] === 1).map(({ entry }) => entry)),
        hasLeft: left === 1,
      };
    } catch (error) {
      if (!attachment.session.isLost && parts.length === 1) { // the attachment has no effect
        this.#formers = this.#formers.filter((holder) => holder !== attachment.holder);
      }
      throw error;
    }
  }

  /** Returns what an attachment finds that makes a channel of a new name. */
  made(attachment: RedisAttachment): Found {
    attachment.capacity = this.#options.capacity;
    return {
      attachment,
      isClosed: false,
      isLeased: this.#options.lease !== undefined,
      events: { count: 0, control: 0, controlEvent: new Uint8Array() },
      due: -1,
      kept: new Set(),
      hasLeft: false,
    };
  }

  /** The link is attached. */
  attached({ attachment, kept, hasLeft }: Found): void {
    if (this.wasAttached) {
      for (const [entry, loan] of [...this.#held]) {
        if (kept.has(entry)) continue;
        this.#held.delete(entry); // another process has it
        this.#lost.hold(loan);
      }
    }
    this.#epoch = attachment.epoch;
    const formers = hasLeft ? this.#formers.filter((former) => former !== attachment.holder) : [];
    this.#formers = [attachment.holder, ...formers];
    this.#asked = [];
    for (const former of formers) {
      attachment.detach([], former).then(
        () => this.#formers = this.#formers.filter((each) => each !== former),
        () => {}, // the next attachment gives back the rest
      );
    }
  }

  /** Settles again what the link has settled and still holds. */
  resumeSettlements({ kept }: Found): void {
    for (const message of this.#settlements.resume((entry) => kept.has(entry))) {
      this.#lost.accepted(message);
    }
  }

  /** The connection of the attachment is lost. */
  left(attachment: RedisAttachment): void {
    this.#asked = [...this.#asked, ...attachment.asked];
  }

  /** The server has refused the attachment for which the link has not waited. */
  refused(): void {
    this.#wasRefused = true;
  }
}
