// What tools need beyond the public API: handles that create nothing, and messages that are not decoded.

import type { SharedConnection } from "../connection/shared_connection.ts";
import { decodeMessage } from "../encoding/message.ts";
import type { Reference } from "../encoding/reference.ts";
import { Delivery } from "../handle/delivery.ts";
import { Handle, handleOf } from "../handle/handle.ts";
import type { OperationOptions } from "../handle/operation.ts";
import type { Message } from "../transports/transport.ts";
import { type Channel, channelOf, fromReference } from "./channel.ts";

/**
 * Returns another handle on a channel, which does not create the channel: if the channel is missing, operations reject
 * with a ChannelClosedError.
 */
export function existingChannel<T>(channel: Channel<T>): Channel<T> {
  return channelOf<T>(existingHandle(channel as Channel));
}

function existingHandle(channel: Channel): Handle {
  return new Handle({ ...handleOf(channel)!.options, create: false, owned: false });
}

/** The options of {@linkcode RawChannel}. */
export interface RawChannelOptions {
  /** Whether the channel is created if it is missing, with the options of the other handle. Default: no. */
  readonly create?: boolean;
  /** What receives, for errors. Default: `receive`. */
  readonly action?: string;
}

/**
 * Another handle on a channel, which does not create the channel by default, and whose messages are received and put
 * as they are.
 * A message that cannot be decoded is no error, and what is put elsewhere has the same bytes.
 */
export class RawChannel {
  readonly #handle: Handle;
  readonly #action: string | undefined;

  constructor(channel: Channel, { create = false, action }: RawChannelOptions = {}) {
    this.#action = action;
    this.#handle = new Handle({ ...handleOf(channel)!.options, create, owned: false });
  }

  /**
   * Receives the next message on loan. A timeout of 0 begins when the channel is attached, since a program that receives
   * only once has no connection yet.
   *
   * @throws the errors of {@linkcode Channel.receive} but those of decoding
   */
  async receive(options: OperationOptions): Promise<Delivery<Message>> {
    if (options.timeout === 0) {
      const unlimited = { ...options, timeout: Infinity };
      const action = this.#action ?? "receive";
      await this.#handle.control(action, this, unlimited, () => Promise.resolve());
    }
    const decode = (message: Message) => message;
    return await this.#handle.gets.receive(this, decode, options, undefined, this.#action).promise;
  }

  /** Puts a message. @throws the errors of {@linkcode Channel.put} */
  async put(message: Message, options: OperationOptions): Promise<void> {
    await this.#handle.puts.forward(message, options);
  }

  /** Takes a message out of the channel that was put elsewhere. */
  moved(delivery: Delivery<Message>): void {
    Delivery.moved(delivery);
  }

  /** Resolves with the number of messages that wait. @throws the errors of {@linkcode Channel.depth} */
  depth(options: OperationOptions): Promise<number> {
    return this.#handle.depth(this, options);
  }

  /**
   * Returns the value of a received message. A channel inside it is an object with its name, as JSON has it.
   *
   * @throws {ChannelDecodeError | ChannelReferenceError} if the message cannot be decoded
   */
  decode(message: Message): unknown {
    const connection = this.#handle.connection as SharedConnection; // it has received a message
    return decodeMessage(message, connection, nameOf, false);
  }

  /**
   * Returns the value of a received message with live channels inside it, for a channel of another connection: there, a
   * reference that names no broker would mean another channel. Undefined if the message carries no channel, or cannot be
   * decoded; it is then put as it is.
   */
  carrying(message: Message): { readonly value: unknown } | undefined {
    const connection = this.#handle.connection as SharedConnection;
    const met = new Map<string, Channel>();
    let isCarrying = false;
    const open = (reference: Reference): object => {
      isCarrying = true;
      return fromReference(reference, met, undefined);
    };
    try {
      const value = decodeMessage(message, connection, open, false);
      return isCarrying ? { value } : undefined;
    } catch {
      return undefined; // whoever receives it has the same error
    }
  }

  /** Closes the handle: deliveries that are not settled are released. Never rejects. */
  close(): Promise<void> {
    return this.#handle.close();
  }
}

function nameOf({ name }: Reference): object {
  return { __channel__: true, name };
}
