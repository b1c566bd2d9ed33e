import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import { Fifo } from "../../../shared/fifo.ts";
import { endsConnection, excessOf, excessText, replyCode } from "../failure.ts";
import { writePublication } from "./frames.ts";
import type { PendingPublish } from "./pending_publish.ts";
import type { Client } from "./client.ts";

/**
 * Publishes with confirms on one AMQP channel, for all queues of a connection: persistent, and
 * mandatory, because the broker confirms also what it could deliver nowhere. Such a message comes
 * back before its confirmation does (https://www.rabbitmq.com/docs/confirms).
 *
 * When the AMQP channel ends, all that were unconfirmed may have arrived or not, and are sent again on the
 * next. The broker ends it for one message that it refuses, without saying which: they are culprits
 * then, and are sent one by one; the one after which it ends the channel again is refused. Of a message that is
 * too large the broker tells the limit: what exceeds it is refused here from then on, and nothing else is suspected.
 *
 * Invariants: letters leave in the order of `publish`, those to be sent again first. What is unconfirmed
 * is limited in number and bytes, or is one letter. A letter is in one of waiting, again and
 * unconfirmed, until it is settled; when the connection is lost, its owner has it still.
 */
export class Publisher {
  readonly #client: Client;
  readonly #waiting = new Fifo<PendingPublish>();
  /** Those that were sent on an AMQP channel that has ended. */
  readonly #again = new Fifo<PendingPublish>();
  /** Whether one of them may be what ended it. */
  #isSuspicious = false;
  /** By delivery tag, in order. */
  #unconfirmed = new Map<number, PendingPublish>();
  #bytes = 0;
  #tag = 0;
  /** What has come back, and is not confirmed yet: ids of messages, or tokens. */
  readonly #returned = new Set<string>();
  #channel!: AMQPChannel;
  #isOpen = false;
  #begun = 0;
  /** Bytes that the broker takes in a message, once it has told. */
  #limit = Infinity;
  /** Called where nothing can be published any more, although the connection may be open. */
  onLost: (reason: string) => void = () => {};

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(client: Client): Promise<Publisher> {
    const publisher = new Publisher(client);
    await publisher.#begin();
    return publisher;
  }

  async #begin(): Promise<void> {
    const channel = await this.#client.channel();
    channel.onerror = (reason) => this.#beginAgain(reason);
    channel.onReturn = ({ properties }: AMQPMessage) => {
      const { correlationId: token, messageId: id } = properties;
      this.#returned.add(token === undefined ? id! : tokenKey(token));
    };
    channel.publishConfirmed = (tag, multiple, nack) => this.#onConfirm(tag, multiple, nack);
    await channel.confirmSelect();
    this.#channel = channel;
    this.#tag = 0;
    this.#begun = performance.now();
    this.#isOpen = true;
    this.resume();
  }

  #beginAgain(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const excess = excessOf(reason);
    if (reason !== replaced && excess === undefined) this.#count();
    if (endsConnection(reason)) {
      queueMicrotask(() => this.#forget()); // the session may ask yet which are culprits
      return;
    }
    this.#returned.clear();
    if (excess !== undefined) this.#limit = excess.limit;
    for (const [tag, letter] of this.#unconfirmed) {
      if (this.#refuseExcess(letter)) this.#unconfirmed.delete(tag);
    }
    this.#isSuspicious = excess === undefined && isRefusal(reason);
    const [culprit] = this.#unconfirmed.values();
    const isFound = this.#isSuspicious && this.#unconfirmed.size === 1;
    if (isFound) this.#unconfirmed.clear();
    const later = this.#again.takeAll();
    for (const letter of this.#unconfirmed.values()) this.#again.push(letter);
    for (const letter of later) this.#again.push(letter);
    if (isFound) culprit!.sender.refused(culprit!, new Error(reason));
    this.#unconfirmed = new Map();
    this.#bytes = 0;
    // Later, as the whole connection may be ending.
    queueMicrotask(() =>
      this.#begin().catch((error: Error) => {
        this.onLost(error.message);
        this.#forget();
      })
    );
  }

  /** The connection is lost. The client may keep its AMQP channels for long, and what belongs to them. */
  #forget(): void {
    this.#unconfirmed.clear();
    this.#waiting.takeAll();
    this.#again.takeAll();
  }

  /** Counts the losses of what is on its way; what was often lost is sent alone, as it may be the reason. */
  #count(): void {
    const now = performance.now();
    for (const letter of this.#unconfirmed.values()) {
      if (letter.losses++ === 0) letter.lostSince = now;
      letter.isSuspect ||= letter.losses >= oftenLost;
    }
  }

  /**
   * Goes on with another AMQP channel, once a second at most: on one that met a quorum queue without a
   * leader, RabbitMQ 3.10 refuses messages (basic.nack) for ever.
   */
  renew(): void {
    if (!this.#isOpen || performance.now() - this.#begun < 1000) return;
    const channel = this.#channel;
    channel.publishConfirmed = () => {};
    channel.onerror = () => {};
    this.#beginAgain(replaced);
    channel.close().catch(() => {}); // the connection is lost, then
  }

  /**
   * The broker has closed the connection for an error, and nothing else was under way: what is unconfirmed is
   * suspected, and is sent one by one on the next. One that was alone is refused, if it was suspected before.
   */
  suspect(reason: Error): void {
    const [only] = this.#unconfirmed.values();
    if (this.#unconfirmed.size === 1 && only!.isSuspect) only!.refusal = reason;
    for (const letter of this.#unconfirmed.values()) letter.isSuspect = true;
  }

  /** Whether the broker takes so many bytes in a message, as far as it has told. */
  fits(size: number): boolean {
    return size <= this.#limit;
  }

  /** Whether a letter is refused because it is too large. */
  #refuseExcess(letter: PendingPublish): boolean {
    const size = letter.message.body.length;
    if (this.fits(size)) return false;
    const reason = new Error(excessText({ size, limit: this.#limit }));
    queueMicrotask(() => letter.sender.refused(letter, reason)); // its sender is not through with it yet
    return true;
  }

  publish(letter: PendingPublish): void {
    if (this.#refuseExcess(letter)) return;
    if (letter.refusal !== undefined) {
      const { refusal } = letter;
      queueMicrotask(() => letter.sender.refused(letter, refusal)); // its sender is not through with it yet
    } else if (letter.isSuspect) {
      this.#isSuspicious = true;
      this.#again.push(letter);
      this.resume();
    } else if (this.#isReady && this.#waiting.size === 0 && this.#again.size === 0) {
      this.#send(letter);
    } else this.#waiting.push(letter);
  }

  /** Whether the letter had not been sent on this connection, and will not be. */
  withdraw(letter: PendingPublish): boolean {
    return this.#waiting.remove(letter) || this.#again.remove(letter);
  }

  /** Sends what waits, as far as that is possible now. */
  resume(): void {
    while (this.#isReady) {
      if (this.#isSuspicious && this.#again.size > 0 && this.#unconfirmed.size > 0) return;
      const letter = this.#again.shift() ?? this.#waiting.shift();
      if (letter === undefined) return;
      if (!this.#refuseExcess(letter)) this.#send(letter);
    }
  }

  get #isReady(): boolean {
    return this.#isOpen && this.#unconfirmed.size < mostUnconfirmed &&
      this.#bytes < mostUnconfirmedBytes && this.#client.blocked === undefined;
  }

  #send(letter: PendingPublish): void {
    const { route, message } = letter;
    letter.wasSent = true;
    this.#bytes += message.body.length;
    this.#unconfirmed.set(++this.#tag, letter);
    const token = letter.isNamesake ? this.#tag : undefined;
    const copy = letter.copies++;
    const { isQuiet } = this.#client;
    writePublication(this.#client, this.#channel.id, route, message, copy, token);
    if (isQuiet) this.#client.flush();
  }

  #onConfirm(tag: number, multiple: boolean, nack: boolean): void {
    if (!multiple) {
      const letter = this.#unconfirmed.get(tag);
      if (letter !== undefined) this.#settle(tag, letter, nack);
    } else {
      for (const [each, letter] of this.#unconfirmed) {
        if (each > tag) break;
        this.#settle(each, letter, nack);
      }
    }
    if (this.#waiting.size > 0 || this.#again.size > 0) this.resume();
  }

  #settle(tag: number, letter: PendingPublish, nack: boolean): void {
    this.#unconfirmed.delete(tag);
    this.#bytes -= letter.message.body.length;
    const isReturned = this.#returned.size > 0 &&
      this.#returned.delete(letter.isNamesake ? tokenKey(tag) : letter.message.id!);
    if (nack || isReturned) letter.copies--;
    if (nack) letter.sender.nacked(letter);
    else if (isReturned) letter.sender.returned(letter);
    else letter.sender.confirmed(letter);
  }
}

/** Losses of one letter after which it is sent alone. */
const oftenLost = 4;

const replaced = "it was replaced";

/** No id is like this. */
function tokenKey(tag: number | string): string {
  return `\0${tag}`;
}

/** Whether the broker closed an AMQP channel for what was published on it. */
function isRefusal(reason: string): boolean {
  const code = replyCode(reason) ?? 0;
  return code >= 300 && code < 500;
}

/** Letters on their way, enough for a round-trip of tens of ms at full speed. */
const mostUnconfirmed = 2048;
const mostUnconfirmedBytes = 8 * 1024 * 1024;
