import type { AMQPClient } from "@cloudamqp/amqp-client";

/**
 * The parts of `@cloudamqp/amqp-client` that this folder uses and that its documentation does not promise. They may
 * move in any release, so deno.json names one exact version. tests/client_internals_test.ts checks each part by its
 * name here; a new version is taken only after that test passes.
 */
export type ClientInternal =
  /** `connect()` sets it before it returns; its one "data" listener accepts any number of whole frames at once. */
  | "AMQPClient.socket"
  /** Every byte to the broker passes through it. */
  | "AMQPClient.send"
  /** Called with one whole frame from the broker at a time. */
  | "AMQPClient.parseFrames"
  /** Read when `connect()` opens the socket. */
  | "AMQPClient.host"
  /** The property that holds the options of TLS, the private key among them. */
  | "AMQPClient.tlsOptions"
  /** Read when the broker asks for the login. */
  | "AMQPClient.password"
  /** After the connection is made, the size of the buffers that messages are sent from. */
  | "AMQPClient.frameMax"
  /** `basicPublish` returns its buffer by `push`, also a buffer that has grown to a large message's size. */
  | "AMQPClient.bufferPool"
  /** Called for each confirmation with the delivery tag, `multiple`, and whether it is a basic.nack. */
  | "AMQPChannel.publishConfirmed"
  /** Called with the text of the error that ends the AMQP channel. */
  | "AMQPChannel.onerror"
  /** `channel 1 closed: REPLY TEXT (CODE)`; the error's `connection` is the client. */
  | "text of a closed channel"
  /** `connection closed: REPLY TEXT (CODE)`. */
  | "text of a closed connection"
  /** `Message rejected`, for a message that the broker refuses by basic.nack. */
  | "text of a rejected message";

/** The private properties, typed. */
export interface ClientInternals {
  readonly bufferPool: { byteLength: number }[];
}

/** Returns the same client, with its private properties visible. */
export function internalsOf(client: AMQPClient): ClientInternals {
  return client as unknown as ClientInternals;
}
