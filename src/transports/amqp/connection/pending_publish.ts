import { isOwnId, nextMessageId } from "../../../shared/message_id.ts";
import type { Message, Offer } from "../../transport.ts";
import type { Route } from "./frames.ts";

/** Receives the broker's answer to a publish. */
export interface PublishObserver {
  /** The broker has taken responsibility for the message. */
  confirmed(publish: PendingPublish): void;
  /** No queue took the message. */
  returned(publish: PendingPublish): void;
  /** The broker could not take the message now (basic.nack). */
  nacked(publish: PendingPublish): void;
  /** The broker never accepts the message. */
  refused(publish: PendingPublish, error: Error): void;
}

/** A message that is being published to a queue, over as many connections as that takes. */
export class PendingPublish {
  readonly observer: PublishObserver;
  readonly route: Route;
  readonly offer: Offer;
  readonly message: Message;
  /** Whether the message is a released value of this channel, and not a put. */
  readonly isReleased: boolean;
  /** Whether the message was sent and may have arrived. */
  wasSent = false;
  /** Whether the message may have arrived over a connection that is lost. */
  mayHaveArrived = false;
  /** The number of times the message was sent, less those after which the broker answered that no queue has it. */
  copies: number;
  /** The number of connections that were lost while the message was unconfirmed. */
  losses = 0;
  /** When the first of them was lost, in ms of `performance.now()`. */
  lostSince = 0;
  /** Whether the broker may have closed a connection or an AMQP channel because of this message. */
  isSuspect = false;
  /** Why the message is not sent again: the broker closes the connection because of it. */
  refusal: Error | undefined;
  /** The publisher that has it; only its identity matters. */
  publisher: object | undefined;
  /** Since when the broker could not store the message for another reason than a full queue. */
  failingSince: number | undefined;
  failures = 0;
  /** The neighbors in a {@linkcode PublishList}. */
  older: PendingPublish | undefined;
  newer: PendingPublish | undefined;

  constructor(observer: PublishObserver, route: Route, offer: Offer, isReleased: boolean) {
    this.observer = observer;
    this.route = route;
    this.offer = offer;
    this.isReleased = isReleased;
    const { message } = offer;
    this.copies = message.copy ?? 0;
    // A message of another program may have no id. It gets one, by which a returned message is found.
    this.message = message.id === undefined ? { ...message, id: nextMessageId() } : message;
  }

  /**
   * Whether another pending message may have the same id: copies of a message that was put before, such as a dead
   * letter, can be made by anyone.
   */
  get hasSharedId(): boolean {
    const { id, attempts, reason, copy } = this.message;
    return (attempts ?? reason ?? copy) !== undefined || !isOwnId(id!);
  }
}

/** Publishes in the order of `add`. A publish is in one list at most. All methods take constant time. */
export class PublishList {
  #oldest: PendingPublish | undefined;
  #newest: PendingPublish | undefined;

  get oldest(): PendingPublish | undefined {
    return this.#oldest;
  }

  add(publish: PendingPublish): void {
    publish.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = publish;
    else this.#newest.newer = publish;
    this.#newest = publish;
  }

  /** @param publish one of this list */
  remove(publish: PendingPublish): void {
    const { older, newer } = publish;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    publish.older = publish.newer = undefined;
  }
}
