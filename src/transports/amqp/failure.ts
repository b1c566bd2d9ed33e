import {
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
  ChannelSizeError,
} from "../../shared/errors.ts";
import { unknownOutcomeText, withMessageId } from "../../shared/put_errors.ts";
import {
  accessRefused,
  isMissingText,
  isTooManyChannels,
  leastChannels,
  type Method,
  notAllowed,
  notFound,
  preconditionFailed,
  readDifference,
  readRefusal,
  type Refusal,
} from "./connection/refusal.ts";
import { RepeatedLossError } from "./connection/culprit_finder.ts";
import { type AmqpUri, type Endpoint, shown } from "./uri.ts";
import { Client } from "./connection/client.ts";

/** Why a connection could not be made, in words that say what to try. */
export function connectFailure(
  error: unknown,
  uri: AmqpUri,
  endpoint: Endpoint,
): ChannelConnectionError {
  if (error instanceof ChannelConnectionError) return error;
  const said = wordsOf(error);
  const { advice, ...rest } = explain(error, uri, endpoint);
  return connectionError(
    `cannot connect to ${uri.address}: ${advice === undefined ? said : `${advice} (${said})`}`,
    uri.address,
    { ...rest, cause: error },
  );
}

/** The broker allows a connection fewer AMQP channels than it needs. */
export function tooFewChannels(most: number, { address }: AmqpUri): ChannelConnectionError {
  return new ChannelConnectionError(
    `cannot connect to ${address}: the broker allows ${most} AMQP channels for a connection, and ${leastChannels} ` +
      "are needed; raise its channel_max",
    { address, transient: false, reason: "limit" },
  );
}

/** What says that a connection was lost, and why. */
export function lostConnection(address: string, cause: unknown): ChannelConnectionError {
  const { reason } = refusalOf(cause);
  return connectionError(
    `the connection to ${address} was lost: ${messageOf(cause)}`,
    address,
    { ...reason === undefined ? {} : { reason }, isTransient: true, cause },
  );
}

/** What an operation rejects with that the broker refused. */
export function refusedBy(action: string, address: string, cause: unknown): ChannelError {
  const excess = excessOf(cause);
  if (excess !== undefined) {
    const { size, limit } = excess;
    return new ChannelSizeError(
      `${action}: the message has ${size} bytes, and ${address} takes ${limit}; send it in parts, or ` +
        "raise max_message_size there",
      { size, limit, cause: plain(cause) },
    );
  }
  const { advice, ...rest } = refusalOf(cause);
  const said = wordsOf(cause);
  return connectionError(
    `${action}: ${address} refused: ${advice === undefined ? said : `${advice} (${said})`}`,
    address,
    { ...rest, cause },
  );
}

/** What an operation rejects with whose link was closed meanwhile. */
export function closedMeanwhile(action: string, address: string, cause: unknown): ChannelError {
  return connectionError(`${action}: ${address} refused: ${messageOf(cause)}`, address, {
    isTransient: true,
    cause,
  });
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

/** Bytes of a message, and how many the broker takes. */
export interface Excess {
  readonly size: number;
  readonly limit: number;
}

/** What the broker says of a message that is too large; undefined where an error says something else. */
export function excessOf(error: unknown): Excess | undefined {
  const said = /message size (\d+) is larger than (?:configured )?max size (\d+)/.exec(
    messageOf(error),
  );
  return said === null ? undefined : { size: Number(said[1]), limit: Number(said[2]) };
}

/** The broker's words for it. */
export function excessText({ size, limit }: Excess): string {
  return `message size ${size} is larger than max size ${limit}`;
}

/** What an operation rejects with that has waited too long for a connection. */
export function outage(
  action: string,
  { address, trouble }: { readonly address: string; readonly trouble: Error | undefined },
): ChannelConnectionError {
  const reason = trouble === undefined
    ? `the channel is not available on ${address} now`
    : trouble instanceof ChannelConnectionError
    ? trouble.message
    : `cannot connect to ${address}: ${trouble.message}`;
  const known = trouble instanceof ChannelConnectionError ? trouble.reason : undefined;
  return new ChannelConnectionError(`${action}: ${reason}`, {
    address,
    cause: trouble,
    ...known === undefined ? {} : { reason: known },
  });
}

/** The same for a put that had been sent. */
export function unknownOutcome(error: ChannelError, id: string | undefined): ChannelError {
  if (error instanceof ChannelClosedError) {
    const { message, reason, cause } = error;
    error = new ChannelClosedError(message + unknownOutcomeText, { reason, cause });
    if (id !== undefined) withMessageId(error, id);
    return error;
  }
  if (!(error instanceof ChannelConnectionError)) return error;
  const { message, address, transient, reason, cause } = error;
  const unknown = new ChannelConnectionError(message + unknownOutcomeText, {
    address,
    transient,
    cause,
    ...reason === undefined ? {} : { reason },
  });
  if (id !== undefined) withMessageId(unknown, id);
  return unknown;
}

/** What the broker means by an error. */
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

/** An AMQP reply code (AMQP 0-9-1, section 1.2) that an error's message ends with, as the client writes it. */
export function replyCode(error: unknown): number | undefined {
  const code = /\((\d{3})\)$/.exec(messageOf(error))?.[1];
  return code === undefined ? undefined : Number(code);
}

/** What the broker has refused, as its connection knows. */
export function methodOf(error: unknown): Method | undefined {
  const { connection } = (error ?? {}) as { readonly connection?: unknown };
  if (!(connection instanceof Client)) return undefined;
  const channel = /^channel (\d+) closed/.exec(messageOf(error))?.[1] ?? 0;
  return connection.refused.get(Number(channel));
}

/** Whether an error says that a queue or exchange does not exist, and not that its node is down. */
export function isMissing(error: unknown): boolean {
  return replyCode(error) === notFound && isMissingText(messageOf(error));
}

/** Whether the broker has ended the whole connection, and not only an AMQP channel (section 1.2). */
export function endsConnection(error: unknown): boolean {
  return messageOf(error).startsWith("connection closed");
}

/** Whether it has done so for an error of what was asked of it, and not because it ends, or an operator wants it. */
export function blamesConnection(error: unknown): boolean {
  return (replyCode(error) ?? 0) >= 500;
}

/** Whether the broker has ended the connection because its user has too many AMQP channels, on all connections. */
export function hasTooManyChannels(error: unknown): boolean {
  return replyCode(error) === notAllowed && isTooManyChannels(messageOf(error));
}

/** Whether an error says that a queue or exchange exists with other arguments; a limit has the same code. */
export function isDeclaredOtherwise(error: unknown): boolean {
  return replyCode(error) === preconditionFailed && readDifference(messageOf(error)) !== undefined;
}

/** Whether an error says that the user may not do something. */
export function isForbidden(error: unknown): boolean {
  return replyCode(error) === accessRefused;
}

/**
 * The broker confirms an announcement when it is in the queue of each connection that hears it, and refuses it
 * (basic.nack) where one has gone meanwhile, with its connection: all others have it.
 */
export function unlessNacked(error: unknown): void {
  if (!(error instanceof Error) || error.message !== "Message rejected") throw error;
}

/**
 * Whether the same request may succeed within seconds: the queue exists, and cannot be used now, as where the node
 * that has it is down, or its replicas have no leader.
 */
export function mayPass(error: unknown): boolean {
  return refusalOf(error).mayPass === true;
}

/** The client's errors hold the client, and so the password: only the words are passed on. */
function plain(error: unknown): Error {
  return new Error(messageOf(error));
}

/** The same without the number of an AMQP channel, which tells a user nothing. */
export function wordsOf(error: unknown): string {
  return messageOf(error).replace(/^(?:channel \d+|connection) closed: /, "");
}

/** What an error says, in one line: OpenSSL's texts have more. */
function messageOf(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return said.replace(/\s*[\r\n]+\s*/g, " ").replace(/[:\s]+$/, "");
}

const notPermitted =
  /NotCapable|requires net access|permission|getaddrinfo EPERM|ERR_ACCESS_DENIED/i;

/** What to try, and whether waiting is among it. */
function explain(error: unknown, uri: AmqpUri, endpoint: Endpoint): Refusal {
  if (replyCode(error) !== undefined) return explainRefusal(error, uri, endpoint);
  const reason = messageOf(error);
  const here = shown(endpoint);
  const never = (advice: string): Refusal => ({ advice, isTransient: false });
  const later = (advice: string): Refusal => ({ advice, isTransient: true });
  // Before what follows, as Deno says "getaddrinfo EPERM" of a name.
  if (notPermitted.test(reason)) {
    const runtime = "Deno" in globalThis ? "Deno" : "the runtime";
    return never(`${runtime} does not permit it; allow it with --allow-net=${here}`);
  }
  if (uri.tls) {
    const advice = explainTls(reason, here);
    if (advice !== undefined) return never(advice);
  }
  if (/ECONNREFUSED|refused/i.test(reason)) {
    return later(`nothing listens on ${here}; is the broker running?`);
  }
  if (/EAI_AGAIN|temporary failure/i.test(reason)) {
    return later(`the host name ${endpoint.host} is not known: no name server answers now`);
  }
  if (/ENOTFOUND|getaddrinfo|failed to lookup|dns/i.test(reason)) {
    return later(`the host name ${endpoint.host} is not known`);
  }
  if (/no answer|Connection ended|Socket closed|ECONNRESET/.test(reason)) {
    return later(`${here} does not answer as an AMQP broker does; is it one, and ready?`);
  }
  if (/EHOSTUNREACH|ENETUNREACH|unreachable/i.test(reason)) {
    return later(`there is no route to ${here}`);
  }
  if (/^not AMQP/.test(reason)) return never(`${here} is no AMQP 0-9-1 broker`);
  return { isTransient: true };
}

/** The broker refuses the connection, or something that every connection needs. */
function explainRefusal(error: unknown, uri: AmqpUri, { host }: Endpoint): Refusal {
  const refusal = refusalOf(error);
  if (refusal.reason !== "login") {
    // What is not known may be over: an attempt later costs little.
    return { ...refusal, isTransient: refusal.isTransient || refusal.reason === undefined };
  }
  const isFar = !/^(localhost|127\.|\[?::1)/.test(host);
  const remote = uri.username === "guest" && isFar
    ? "; RabbitMQ lets the user guest in from its own host only, unless loopback_users is changed"
    : "";
  return {
    ...refusal,
    advice: `the broker refused user ${uri.username}; check user name and password${remote}`,
  };
}

/** Three TLS libraries, each with words of its own; waiting helps against none of this. */
function explainTls(reason: string, here: string): string | undefined {
  if (/wrong.version|InvalidContentType|corrupt message|packet length/i.test(reason)) {
    return `${here} does not speak TLS; try amqp://`;
  }
  if (/\balert\b/i.test(reason.replaceAll("_", " "))) {
    return `${here} refuses this client's certificate, or asks for one: see the options cert and key`;
  }
  if (/key.values.mismatch|PEM|no.start.line|unsupported protocol|Invalid CA/i.test(reason)) {
    return "the option ca, cert or key is no PEM that can be used, or the key is not the certificate's";
  }
  if (/certificate|issuer|self.signed|altname|hostname|CERT_/i.test(reason)) {
    return `the certificate of ${here} is not trusted: see the options ca and servername`;
  }
}
