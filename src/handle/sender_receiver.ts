import type { Rule } from "../shared/options.ts";
import { directionOf, isChannelValue } from "./channel_registry.ts";
import type { Delivery } from "./delivery.ts";
import type { OperationOptions } from "./operation.ts";
import type { PutOptions } from "./put_options.ts";

/** The sending end of a channel: a Channel or a SendChannel. */
export interface Sender<T> {
  /** Puts a value, as {@linkcode Channel.put} does. */
  put(value: T, options?: PutOptions): Promise<void>;
}

/** The receiving end of a channel: a Channel or a ReceiveChannel. */
export interface Receiver<T> {
  /** Receives the next value, as {@linkcode Channel.receive} does. */
  receive(options?: OperationOptions): Promise<Delivery<T>>;
}

/** The rule for an argument that is a sending end. */
export const senderRule: Rule = {
  takes: "a Channel or a SendChannel",
  allows: (value) => isChannelValue(value) && directionOf(value) !== "receive",
};

/** The rule for an argument that is a receiving end. */
export const receiverRule: Rule = {
  takes: "a Channel or a ReceiveChannel",
  allows: (value) => isChannelValue(value) && directionOf(value) !== "send",
};
