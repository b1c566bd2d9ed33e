import { isOwnId, nextMessageId } from "../../../shared/message_id.ts";
import type { Message, Offer } from "../../transport.ts";
import type { Route } from "./frames.ts";

/** Who is told what becomes of a letter. */
export interface Sender {
  /** The broker has taken responsibility. */
  confirmed(letter: PendingPublish): void;
  /** No queue took it. */
  returned(letter: PendingPublish): void;
  /** The broker could not take it now (basic.nack). */
  nacked(letter: PendingPublish): void;
  /** The broker does not take it. */
  refused(letter: PendingPublish, error: Error): void;
}

/** A message on its way to a queue, over as many connections as that takes. */
export class PendingPublish {
  readonly sender: Sender;
  readonly route: Route;
  readonly offer: Offer;
  /** Whether the message was lent by this channel before. */
  readonly isAgain: boolean;
  /** Whether it was sent once, and may have arrived. */
  wasSent = false;
  /** How often it was sent without an answer that it has arrived nowhere. */
  copies = 0;
  readonly message: Message;
  /** Whether it may have arrived by a connection that is lost. */
  isDoubtful = false;
  /** How many connections were lost while it was on its way, and when the first of them was. */
  losses = 0;
  lostSince = 0;
  /** Whether the broker may have closed the connection for it. */
  isSuspect = false;
  /** Why it is not sent again: the broker closes the connection for it. */
  refusal: Error | undefined;
  /** The publisher that sends and settles it; only its identity matters here. */
  publisher: object | undefined;
  /** Since when the broker could not take it, and how often; not because the channel was full. */
  refusedSince: number | undefined;
  refusals = 0;
  /** Its neighbours in a {@linkcode Pile}. */
  older: PendingPublish | undefined;
  newer: PendingPublish | undefined;

  constructor(sender: Sender, route: Route, offer: Offer, isAgain: boolean) {
    this.sender = sender;
    this.route = route;
    this.offer = offer;
    this.isAgain = isAgain;
    const { message } = offer;
    // What others have put may have no id, and is put again under one: by that it is known where it comes back.
    this.message = message.id === undefined ? { ...message, id: nextMessageId() } : message;
  }

  /**
   * Whether another letter may have the same id: of those that were put before, as a dead letter was, somebody may
   * have made several.
   */
  get isNamesake(): boolean {
    const { id, attempts, reason } = this.message;
    return attempts !== undefined || reason !== undefined || !isOwnId(id!);
  }
}

/** Letters in the order of their coming. Each is in one pile at most, and every operation takes constant time. */
export class Pile {
  #oldest: PendingPublish | undefined;
  #newest: PendingPublish | undefined;

  get oldest(): PendingPublish | undefined {
    return this.#oldest;
  }

  add(letter: PendingPublish): void {
    letter.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = letter;
    else this.#newest.newer = letter;
    this.#newest = letter;
  }

  /** @param letter one of this pile */
  remove(letter: PendingPublish): void {
    const { older, newer } = letter;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    letter.older = letter.newer = undefined;
  }
}
