import {
  ChannelConnectionError,
  type ChannelError,
  ChannelSizeError,
} from "../../shared/errors.ts";
import {
  accessRefused,
  isMissingText,
  isTooManyChannels,
  type Method,
  notAllowed,
  notFound,
  preconditionFailed,
  readDifference,
  readRefusal,
  type Refusal,
} from "./connection/refusal.ts";
import { connectAdvice } from "../remote/connect_advice.ts";
import { RepeatedLossError } from "./connection/culprit_finder.ts";
import { type Endpoint, shownEndpoint } from "../remote/uri_text.ts";
import { type AmqpUri, leastChannels } from "./uri.ts";
import { Client } from "./connection/client.ts";

/** Returns the error for a connection that could not be made. It says what to try. */
export function connectFailure(
  error: unknown,
  uri: AmqpUri,
  endpoint: Endpoint,
): ChannelConnectionError {
  if (error instanceof ChannelConnectionError) return error;
  const text = wordsOf(error);
  const { advice, ...rest } = explain(error, uri, endpoint);
  return connectionError(
    `cannot connect to ${uri.address}: ${advice === undefined ? text : `${advice} (${text})`}`,
    uri.address,
    { ...rest, cause: error },
  );
}

/** Returns the error for a broker that allows a connection fewer AMQP channels than it needs. */
export function tooFewChannels(most: number, { address }: AmqpUri): ChannelConnectionError {
  return new ChannelConnectionError(
    `cannot connect to ${address}: the broker allows ${most} AMQP channels for a connection, and ${leastChannels} ` +
      "are needed; raise its channel_max",
    { address, transient: false, reason: "limit" },
  );
}

/** Returns the error for a connection that was lost. */
export function lostConnection(address: string, cause: unknown): ChannelConnectionError {
  const { reason } = refusalOf(cause);
  return connectionError(
    `the connection to ${address} was lost: ${messageOf(cause)}`,
    address,
    { ...reason === undefined ? {} : { reason }, isTransient: true, cause },
  );
}

/** Returns the error for an operation that the broker has refused. */
export function refusedBy(action: string, address: string, cause: unknown): ChannelError {
  const excess = excessOf(cause);
  if (excess !== undefined) {
    const { size, limit } = excess;
    return new ChannelSizeError(
      `${action}: the message has ${size} bytes, and ${address} accepts ${limit}; send it in parts, or ` +
        "raise max_message_size there",
      { size, limit, cause: plain(cause) },
    );
  }
  const { advice, ...rest } = refusalOf(cause);
  const text = wordsOf(cause);
  return connectionError(
    `${action}: ${address} refused: ${advice === undefined ? text : `${advice} (${text})`}`,
    address,
    { ...rest, cause },
  );
}

function connectionError(
  message: string,
  address: string,
  { reason, isTransient, cause }: Refusal & { readonly cause: unknown },
): ChannelConnectionError {
  return new ChannelConnectionError(message, {
    address,
    transient: isTransient,
    cause: plain(cause),
    ...reason === undefined ? {} : { reason },
  });
}

/** The size of a message that is too large for the broker, and the broker's limit, in bytes. */
export interface Excess {
  readonly size: number;
  readonly limit: number;
}

/** Reads the broker's refusal of a message that is too large. Returns undefined for any other error. */
export function excessOf(error: unknown): Excess | undefined {
  const sizes = /message size (\d+) is larger than (?:configured )?max size (\d+)/.exec(
    messageOf(error),
  );
  return sizes === null ? undefined : { size: Number(sizes[1]), limit: Number(sizes[2]) };
}

/** Returns the text by which the broker refuses a message that is too large. */
export function excessText({ size, limit }: Excess): string {
  return `message size ${size} is larger than max size ${limit}`;
}

/** Returns the meaning of an error, as far as the broker has given a reason. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof RepeatedLossError)) {
    return readRefusal(replyCode(error), messageOf(error), methodOf(error));
  }
  const { reason, advice } = refusalOf(error.cause);
  return {
    ...reason === undefined ? {} : { reason },
    ...advice === undefined ? {} : { advice },
    isTransient: false,
  };
}

/** Returns the AMQP reply code (AMQP 0-9-1, section 1.2) with which the client ends the message of an error. */
export function replyCode(error: unknown): number | undefined {
  const code = /\((\d{3})\)$/.exec(messageOf(error))?.[1];
  return code === undefined ? undefined : Number(code);
}

/** Returns the method that the broker has refused. The client notes it, since its errors do not tell. */
export function methodOf(error: unknown): Method | undefined {
  const { connection } = (error ?? {}) as { readonly connection?: unknown };
  if (!(connection instanceof Client)) return undefined;
  const channel = /^channel (\d+) closed/.exec(messageOf(error))?.[1] ?? 0;
  return connection.refused.get(Number(channel));
}

/** Reports whether a queue or exchange does not exist. One whose node is down exists. */
export function isMissing(error: unknown): boolean {
  return replyCode(error) === notFound && isMissingText(messageOf(error));
}

/** Reports whether the broker has closed the whole connection, and not only an AMQP channel (section 1.2). */
export function endsConnection(error: unknown): boolean {
  return messageOf(error).startsWith("connection closed");
}

/**
 * Reports whether the broker has closed the connection because of a request, and not because it stops or an operator
 * asked.
 */
export function blamesConnection(error: unknown): boolean {
  return (replyCode(error) ?? 0) >= 500;
}

/**
 * Reports whether the broker has closed the connection because its user has too many AMQP channels, on all connections.
 */
export function hasTooManyChannels(error: unknown): boolean {
  return replyCode(error) === notAllowed && isTooManyChannels(messageOf(error));
}

/** Reports whether a queue or exchange exists with other arguments. A limit has the same reply code. */
export function isDeclaredOtherwise(error: unknown): boolean {
  return replyCode(error) === preconditionFailed && readDifference(messageOf(error)) !== undefined;
}

/** Reports whether the user lacks a permission. */
export function isForbidden(error: unknown): boolean {
  return replyCode(error) === accessRefused;
}

/**
 * Ignores the refusal (basic.nack) of an announcement, and throws any other error. The broker confirms an announcement
 * when every bound queue has it, and refuses it if one of them is deleted meanwhile, with its connection: all others
 * have it.
 */
export function unlessNacked(error: unknown): void {
  if (!(error instanceof Error) || error.message !== "Message rejected") throw error;
}

/**
 * Reports whether the same request may succeed within seconds: the queue exists and cannot be used at the moment, such
 * as where its node is down, or its replicas have no leader.
 */
export function mayPass(error: unknown): boolean {
  return refusalOf(error).mayPass === true;
}

/** Returns an error with the same message only: the client's errors refer to the client, which has the password. */
function plain(error: unknown): Error {
  return new Error(messageOf(error));
}

/** Returns the message of an error without the number of an AMQP channel, which means nothing to a user. */
export function wordsOf(error: unknown): string {
  return messageOf(error).replace(/^(?:channel \d+|connection) closed: /, "");
}

/** Returns the message of an error in one line; OpenSSL's have more. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*[\r\n]+\s*/g, " ").replace(/[:\s]+$/, "");
}

/** Says what to try after a failed attempt to connect, and whether waiting may help. */
function explain(error: unknown, uri: AmqpUri, endpoint: Endpoint): Refusal {
  if (replyCode(error) !== undefined) return explainRefusal(error, uri, endpoint);
  const reason = messageOf(error);
  const here = shownEndpoint(endpoint);
  const known = connectAdvice(reason, endpoint.host, here, {
    server: "the broker",
    ...uri.tls ? { plain: "amqp://" } : {},
  });
  if (known.advice !== undefined) return known;
  if (/no answer|Connection ended|Socket closed|ECONNRESET/.test(reason)) {
    return {
      advice: `${here} does not answer as an AMQP broker; check that it is one, and ready`,
      isTransient: true,
    };
  }
  if (/^not AMQP/.test(reason)) {
    const cure = reason.includes("; try ") ? "" : "; check the host and the port";
    return { advice: `${here} is not an AMQP 0-9-1 broker${cure}`, isTransient: false };
  }
  return known;
}

/** Explains a refusal of the connection, or of something that every connection needs. */
function explainRefusal(error: unknown, uri: AmqpUri, { host }: Endpoint): Refusal {
  const refusal = refusalOf(error);
  if (refusal.reason !== "login") {
    // An unknown reason may pass, and another attempt costs little.
    return { ...refusal, isTransient: refusal.isTransient || refusal.reason === undefined };
  }
  const isFar = !/^(localhost|127\.|\[?::1)/.test(host);
  const remote = uri.username === "guest" && isFar
    ? "; RabbitMQ accepts the user guest from its own host only, unless loopback_users is changed"
    : "";
  return {
    ...refusal,
    advice: `the broker refused user ${uri.username}; check user name and password${remote}`,
  };
}
