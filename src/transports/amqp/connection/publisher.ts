import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import { Fifo } from "../../../shared/fifo.ts";
import { endsConnection, excessOf, excessText, replyCode } from "../failure.ts";
import { writePublication } from "./frames.ts";
import type { PendingPublish } from "./pending_publish.ts";
import type { Client } from "./client.ts";

/**
 * Publishes with confirms on one AMQP channel, for all queues of a connection. Messages are persistent, and mandatory
 * because the broker also confirms a message that no queue took; it returns such a message before the confirmation
 * (https://www.rabbitmq.com/docs/confirms).
 *
 * When the AMQP channel ends, each unconfirmed message may have arrived or not; it is sent again on the next AMQP
 * channel. The broker ends the AMQP channel for one message that it refuses, and does not tell which. All unconfirmed
 * messages are suspects then, and are sent one at a time; the one that ends the AMQP channel again is refused. For a
 * message that is too large the broker tells its limit: larger messages are refused here from then on, and no other
 * message is a suspect.
 *
 * Invariants: messages leave in the order of `publish`; messages that are sent again leave first. Unconfirmed messages
 * are limited in number and bytes, except that a single message may have any size. Until it is settled, a publish is in
 * one of `#unsent`, `#resend` and `#unconfirmed`. After the connection is lost, its outbox still has it.
 */
export class Publisher {
  readonly #client: Client;
  readonly #unsent = new Fifo<PendingPublish>();
  /** The publishes that were sent on an AMQP channel that has ended. */
  readonly #resend = new Fifo<PendingPublish>();
  /** Whether one of `#resend` may have ended the AMQP channel. */
  #hasSuspects = false;
  /** By delivery tag, in order. */
  #unconfirmed = new Map<number, PendingPublish>();
  #unconfirmedBytes = 0;
  #tag = 0;
  /** The returned messages that are not confirmed yet, by message id or token. */
  readonly #returned = new Set<string>();
  #channel!: AMQPChannel;
  #isOpen = false;
  /** When the AMQP channel was opened, in ms of `performance.now()`. */
  #openedAt = 0;
  /** The largest message that the broker accepts, in bytes, once it has told. */
  #maxSize = Infinity;
  /** Called when no more can be published, although the connection may be open. */
  onLost: (reason: string) => void = () => {};

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(client: Client): Promise<Publisher> {
    const publisher = new Publisher(client);
    await publisher.#openChannel();
    return publisher;
  }

  async #openChannel(): Promise<void> {
    const channel = await this.#client.channel();
    channel.onerror = (reason) => this.#onEnd(reason);
    channel.onReturn = ({ properties }: AMQPMessage) => {
      const { correlationId: token, messageId: id } = properties;
      this.#returned.add(token === undefined ? id! : tokenKey(token));
    };
    channel.publishConfirmed = (tag, multiple, nack) => this.#onConfirm(tag, multiple, nack);
    await channel.confirmSelect();
    this.#channel = channel;
    this.#tag = 0;
    this.#openedAt = performance.now();
    this.#isOpen = true;
    this.resume();
  }

  /** Handles the end of the AMQP channel, and opens another one. */
  #onEnd(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const excess = excessOf(reason);
    if (reason !== replaced && excess === undefined) this.#countLosses();
    if (endsConnection(reason)) {
      queueMicrotask(() => this.#clear()); // the session calls suspectUnconfirmed before
      return;
    }
    this.#returned.clear();
    if (excess !== undefined) this.#maxSize = excess.limit;
    for (const [tag, publish] of this.#unconfirmed) {
      if (this.#refuseExcess(publish)) this.#unconfirmed.delete(tag);
    }
    this.#hasSuspects = excess === undefined && isRefusal(reason);
    const [culprit] = this.#unconfirmed.values();
    const isFound = this.#hasSuspects && this.#unconfirmed.size === 1;
    if (isFound) this.#unconfirmed.clear();
    const later = this.#resend.takeAll();
    for (const publish of this.#unconfirmed.values()) this.#resend.push(publish);
    for (const publish of later) this.#resend.push(publish);
    if (isFound) culprit!.observer.refused(culprit!, new Error(reason));
    this.#unconfirmed = new Map();
    this.#unconfirmedBytes = 0;
    // In a microtask, because the whole connection may be ending.
    queueMicrotask(() =>
      this.#openChannel().catch((error: Error) => {
        this.onLost(error.message);
        this.#clear();
      })
    );
  }

  /** Drops all after the connection is lost: the AMQP client may keep this object for long. */
  #clear(): void {
    this.#unconfirmed.clear();
    this.#unsent.takeAll();
    this.#resend.takeAll();
  }

  /** Counts a loss for each unconfirmed message. A message that was lost often may be the cause, and is a suspect. */
  #countLosses(): void {
    const now = performance.now();
    for (const publish of this.#unconfirmed.values()) {
      if (publish.losses++ === 0) publish.lostSince = now;
      publish.isSuspect ||= publish.losses >= suspectLosses;
    }
  }

  /**
   * Replaces the AMQP channel, at most once a second. RabbitMQ 3.10 refuses all messages (basic.nack) on an AMQP
   * channel that was used when a quorum queue had no leader.
   */
  replaceChannel(): void {
    if (!this.#isOpen || performance.now() - this.#openedAt < 1000) return;
    const channel = this.#channel;
    channel.publishConfirmed = () => {};
    channel.onerror = () => {};
    this.#onEnd(replaced);
    channel.close().catch(() => {}); // the connection is lost
  }

  /**
   * Makes suspects of the unconfirmed messages, after the broker has closed the connection for an error while no other
   * operation was running. They are sent one at a time on the next connection. A message that was already a suspect,
   * and the only unconfirmed one, is refused.
   */
  suspectUnconfirmed(reason: Error): void {
    const [only] = this.#unconfirmed.values();
    if (this.#unconfirmed.size === 1 && only!.isSuspect) only!.refusal = reason;
    for (const publish of this.#unconfirmed.values()) publish.isSuspect = true;
  }

  /** Reports whether the broker, as far as it has told, accepts a message of `size` bytes. */
  fits(size: number): boolean {
    return size <= this.#maxSize;
  }

  /** Refuses a publish whose message is too large. Reports whether it did. */
  #refuseExcess(publish: PendingPublish): boolean {
    const size = publish.message.body.length;
    if (this.fits(size)) return false;
    this.#refuse(publish, new Error(excessText({ size, limit: this.#maxSize })));
    return true;
  }

  /** Refuses in a microtask, because the observer may be in the middle of `publish`. */
  #refuse(publish: PendingPublish, reason: Error): void {
    queueMicrotask(() => publish.observer.refused(publish, reason));
  }

  publish(publish: PendingPublish): void {
    if (this.#refuseExcess(publish)) return;
    if (publish.refusal !== undefined) {
      this.#refuse(publish, publish.refusal);
    } else if (publish.isSuspect) {
      this.#hasSuspects = true;
      this.#resend.push(publish);
      this.resume();
    } else if (this.#isReady && this.#unsent.size === 0 && this.#resend.size === 0) {
      this.#send(publish);
    } else this.#unsent.push(publish);
  }

  /** Reports whether the publish was not sent on this connection; it will not be. */
  withdraw(publish: PendingPublish): boolean {
    return this.#unsent.remove(publish) || this.#resend.remove(publish);
  }

  /** Sends the publishes that wait, as far as the limits allow. */
  resume(): void {
    while (this.#isReady) {
      if (this.#hasSuspects && this.#resend.size > 0 && this.#unconfirmed.size > 0) return;
      const publish = this.#resend.shift() ?? this.#unsent.shift();
      if (publish === undefined) return;
      if (!this.#refuseExcess(publish)) this.#send(publish);
    }
  }

  get #isReady(): boolean {
    return this.#isOpen && this.#unconfirmed.size < maxUnconfirmed &&
      this.#unconfirmedBytes < maxUnconfirmedBytes && this.#client.blocked === undefined;
  }

  #send(publish: PendingPublish): void {
    const { route, message } = publish;
    publish.wasSent = true;
    this.#unconfirmedBytes += message.body.length;
    this.#unconfirmed.set(++this.#tag, publish);
    const token = publish.hasSharedId ? this.#tag : undefined;
    const copy = publish.copies++;
    const { isQuiet } = this.#client;
    writePublication(this.#client, this.#channel.id, route, message, copy, token);
    if (isQuiet) this.#client.flush();
  }

  #onConfirm(tag: number, multiple: boolean, nack: boolean): void {
    if (!multiple) {
      const publish = this.#unconfirmed.get(tag);
      if (publish !== undefined) this.#settle(tag, publish, nack);
    } else {
      for (const [each, publish] of this.#unconfirmed) {
        if (each > tag) break;
        this.#settle(each, publish, nack);
      }
    }
    if (this.#unsent.size > 0 || this.#resend.size > 0) this.resume();
  }

  #settle(tag: number, publish: PendingPublish, nack: boolean): void {
    this.#unconfirmed.delete(tag);
    this.#unconfirmedBytes -= publish.message.body.length;
    const isReturned = this.#returned.size > 0 &&
      this.#returned.delete(publish.hasSharedId ? tokenKey(tag) : publish.message.id!);
    if (nack || isReturned) publish.copies--;
    if (nack) publish.observer.nacked(publish);
    else if (isReturned) publish.observer.returned(publish);
    else publish.observer.confirmed(publish);
  }
}

/** The number of losses after which a message is a suspect. */
const suspectLosses = 4;

const replaced = "the AMQP channel was replaced";

/** Returns the key of a token, which equals no message id. */
function tokenKey(tag: number | string): string {
  return `\0${tag}`;
}

/** Reports whether the broker closed an AMQP channel because of a message. */
function isRefusal(reason: string): boolean {
  const code = replyCode(reason) ?? 0;
  return code >= 300 && code < 500;
}

/** Limits of unconfirmed messages: enough for a round trip of tens of milliseconds at full speed. */
const maxUnconfirmed = 2048;
const maxUnconfirmedBytes = 8 * 1024 * 1024;
