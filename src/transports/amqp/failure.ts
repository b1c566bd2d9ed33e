import {
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
  ChannelSizeError,
  unknownOutcomeText,
  withMessageId,
} from "../../errors.ts";
import { type AmqpUri, type Endpoint, shown } from "./uri.ts";

/** Why a connection could not be made, in words that say what to try. */
export function connectFailure(
  error: unknown,
  uri: AmqpUri,
  endpoint: Endpoint,
): ChannelConnectionError {
  const reason = messageOf(error);
  const [advice, transient] = explain(reason, uri, endpoint);
  return new ChannelConnectionError(
    `cannot connect to ${uri.address}: ${advice === undefined ? reason : `${advice} (${reason})`}`,
    { address: uri.address, transient, cause: plain(error) },
  );
}

/** What says that a connection was lost, and why. */
export function lostConnection(address: string, cause: unknown): ChannelConnectionError {
  return new ChannelConnectionError(
    `the connection to ${address} was lost: ${messageOf(cause)}`,
    { address, cause: plain(cause) },
  );
}

/** What an operation rejects with that the broker refused. */
export function refusedBy(
  action: string,
  address: string,
  cause: unknown,
  transient = false,
): ChannelError {
  const excess = excessOf(cause);
  if (excess !== undefined) {
    const { size, limit } = excess;
    return new ChannelSizeError(
      `${action}: the message has ${size} bytes, and ${address} takes ${limit}; send it in parts, or ` +
        "raise max_message_size there",
      { size, limit, cause: plain(cause) },
    );
  }
  return new ChannelConnectionError(`${action}: ${address} refused: ${messageOf(cause)}`, {
    address,
    transient,
    cause: plain(cause),
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
  return new ChannelConnectionError(`${action}: ${reason}`, { address, cause: trouble });
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
  const { message, address, transient, cause } = error;
  const unknown = new ChannelConnectionError(
    message + unknownOutcomeText,
    { address, transient, cause },
  );
  if (id !== undefined) withMessageId(unknown, id);
  return unknown;
}

/** An AMQP reply code (AMQP 0-9-1, section 1.2) that an error's message ends with, as the client writes it. */
export function replyCode(error: unknown): number | undefined {
  const code = /\((\d{3})\)$/.exec(messageOf(error))?.[1];
  return code === undefined ? undefined : Number(code);
}

/** Whether an error says that a queue or exchange does not exist, and not that its node is down. */
export function isMissing(error: unknown): boolean {
  return replyCode(error) === notFound && /\bno (queue|exchange) /.test(messageOf(error));
}

/** Whether the broker has ended the connection for an error, and not only an AMQP channel (section 1.2). */
export function endsConnection(error: unknown): boolean {
  return (replyCode(error) ?? 0) >= 500;
}

/** Whether the broker has ended the connection because its user has too many AMQP channels, on all connections. */
export function hasTooManyChannels(error: unknown): boolean {
  return replyCode(error) === notAllowed && /\bnumber of channels\b/.test(messageOf(error));
}

/** Whether an error says that a queue or exchange exists with other arguments; a limit has the same code. */
export function isDeclaredOtherwise(error: unknown): boolean {
  return replyCode(error) === preconditionFailed && /\binequivalent arg\b/.test(messageOf(error));
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

export const accessRefused = 403;
const notAllowed = 530;
export const notFound = 404;
export const preconditionFailed = 406;

/** The client's errors hold the client, and so the password: only the words are passed on. */
function plain(error: unknown): Error {
  return new Error(messageOf(error));
}

/** What an error says, in one line: OpenSSL's texts have more. */
function messageOf(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return said.replace(/\s*[\r\n]+\s*/g, " ").replace(/[:\s]+$/, "");
}

const notPermitted =
  /NotCapable|requires net access|permission|getaddrinfo EPERM|ERR_ACCESS_DENIED/i;

/** What to try, and whether waiting is among it. */
function explain(
  reason: string,
  uri: AmqpUri,
  endpoint: Endpoint,
): [advice: string | undefined, transient: boolean] {
  const here = shown(endpoint);
  const code = replyCode(reason);
  // Before what follows, as Deno says "getaddrinfo EPERM" of a name.
  if (code === undefined && notPermitted.test(reason)) {
    const runtime = "Deno" in globalThis ? "Deno" : "the runtime";
    return [`${runtime} does not permit it; allow it with --allow-net=${here}`, false];
  }
  if (code === accessRefused) return [explainRefusal(reason, uri), false];
  if (code === notAllowed) {
    return /\blimit\b/.test(reason)
      ? [`user ${uri.username} or vhost ${uri.vhost} has reached a limit of the broker`, true]
      : [`vhost ${uri.vhost} does not exist or user ${uri.username} may not use it`, false];
  }
  if (uri.tls) {
    const advice = explainTls(reason, here);
    if (advice !== undefined) return [advice, false];
  }
  if (/ECONNREFUSED|refused/i.test(reason)) {
    return [`nothing listens on ${here}; is the broker running?`, true];
  }
  if (/EAI_AGAIN|temporary failure/i.test(reason)) {
    return [`the host name ${endpoint.host} is not known: no name server answers now`, true];
  }
  if (/ENOTFOUND|getaddrinfo|failed to lookup|dns/i.test(reason)) {
    return [`the host name ${endpoint.host} is not known`, true];
  }
  if (/no answer|Connection ended|Socket closed|ECONNRESET/.test(reason)) {
    return [`${here} does not answer as an AMQP broker does; is it one, and ready?`, true];
  }
  if (/EHOSTUNREACH|ENETUNREACH|unreachable/i.test(reason)) {
    return [`there is no route to ${here}`, true];
  }
  if (/^not AMQP/.test(reason)) return [`${here} is no AMQP 0-9-1 broker`, false];
  return [undefined, true];
}

/** The broker refuses a user, or something that every connection needs. */
function explainRefusal(reason: string, uri: AmqpUri): string {
  return /access to (queue|exchange)/.test(reason)
    ? `user ${uri.username} lacks permissions that every connection needs: configure and write for ` +
      "amq.gen-.*, read for amq.gen-.* and amq.direct"
    : `the broker refused user ${uri.username}; check user name and password`;
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
