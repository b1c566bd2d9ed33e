import { connectionTo } from "../connection/configured.ts";
import { addressOf, nodesOf } from "../connection/schemes.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelReferenceError } from "../shared/errors.ts";
import { checkName } from "../shared/names.ts";
import { withoutCredentials } from "../shared/redact.ts";
import type { Reach } from "../transports/transport.ts";
import { defaultEncoding, type Encoding, isEncoding } from "./encoding.ts";
import type { Members } from "./json/mod.ts";

/** The direction that a SendChannel or a ReceiveChannel allows. */
export type Direction = "send" | "receive";

/**
 * A channel as it travels inside a value: the channel's name, and the address of its broker unless that is the broker of
 * the channel which carries the value. A broker has several addresses, so only a reference without an address
 * works on every host.
 */
export interface Reference {
  readonly name: string;
  readonly connection: SharedConnection;
  /** The encoding of the values that are put into the channel, so that its readers can decode them. */
  readonly encoding: Encoding;
  /** The direction that the channel allows; absent if it allows both. */
  readonly direction?: Direction | undefined;
}

/** The type name of a reference in CBOR: the first item of a generic object (tag 27). */
export const referenceType = "Channel";

/**
 * Returns the items that follow the type name in a CBOR reference to `target`, inside a value that `carrier` carries.
 *
 * @throws {ChannelReferenceError} if `target` does not reach as far as `carrier`
 */
export function writeReference(target: Reference, carrier: SharedConnection): readonly unknown[] {
  const { name, connection, encoding, direction } = target;
  const address = isSameBroker(connection, carrier) ? undefined : connection.address;
  checkSentReach(target, carrier);
  if (direction !== undefined) return [name, address, encoding, direction];
  if (encoding !== defaultEncoding) return [name, address, encoding];
  return address === undefined ? [name] : [name, address];
}

/**
 * Reads the items of a CBOR reference that `carrier` has delivered. The message is untrusted: it cannot add a connection
 * to those that this process has configured.
 *
 * @throws {ChannelReferenceError} if the reference is invalid or its broker is not configured
 */
export function readReference(args: readonly unknown[], carrier: SharedConnection): Reference {
  const [name, address, encoding = defaultEncoding, direction] = args;
  checkReceivedName(name);
  if (args.length > 4) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has ${args.length} items, and at most 4 are read`,
    );
  }
  if (!isEncoding(encoding)) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has the encoding ${shown(encoding)}, ` +
        `and only "cbor" and "json" are known`,
    );
  }
  if (args.length === 4 && direction !== "send" && direction !== "receive") {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has the direction ${shown(direction)}, ` +
        `and only "send" and "receive" are known`,
    );
  }
  const about = { name, encoding, direction: direction as Direction | undefined };
  if (address === undefined || address === carrier.address) {
    return { ...about, connection: carrier };
  }
  const connection = typeof address === "string" ? connectionTo(address) : undefined;
  if (connection?.address !== address) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} names a broker that this process has not configured: ` +
        `${shown(address)}; make a channel on it first to allow it`,
    );
  }
  const reference: Reference = { ...about, connection };
  checkReceivedReach(reference, carrier);
  return reference;
}

/** Describes an item that should be a string. It may be anything, and may contain a password. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(withoutCredentials(value.slice(0, 200)));
  return value === null ? "null" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** The key that marks a reference in JSON, as ChannelPy writes it. */
export const referenceMarker = "__channel__";

/** ChannelPy's only connection class, which connects to RabbitMQ. */
const channelPyConnection = "RabbitConnection";

/**
 * Returns the members of a JSON reference to `target`, inside a value that `carrier` carries. ChannelPy needs every
 * member, and always a URI. Its retry timeout is left to the receiver.
 *
 * @throws {ChannelReferenceError} if `target` allows one direction only, or does not reach as far as `carrier`
 */
export function writeJsonReference(target: Reference, carrier: SharedConnection): Members {
  checkSentReach(target, carrier);
  if (target.direction !== undefined) {
    throw new ChannelReferenceError(
      `channel ${target.name} cannot travel in JSON as one to ${target.direction} only: ` +
        `JSON's references have no direction; send the channel itself, or use encoding "cbor"`,
    );
  }
  return {
    name: target.name,
    connection_type: channelPyConnection,
    retry_timeout: null,
    // ChannelPy does not support lists of nodes.
    connection_args: { uri: nodesOf(target.connection.address)[0]! },
  };
}

/**
 * Reads the members of a JSON reference that `carrier` has delivered. The URI in it is how the sender reaches the
 * broker, usually that of `carrier`; it is used only if this process has configured it. The channel is put into
 * in JSON, as its sender reads JSON.
 *
 * @throws {ChannelReferenceError} if the reference is invalid
 */
export function readJsonReference(members: Members, carrier: SharedConnection): Reference {
  const { name, connection_type: type, connection_args: args } = members;
  checkReceivedName(name);
  if (type !== channelPyConnection && type !== undefined && type !== null) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has a connection_type other than "${channelPyConnection}"`,
    );
  }
  const reference: Reference = {
    name,
    connection: connectionOfUri(uriIn(args, name), carrier),
    encoding: "json",
  };
  checkReceivedReach(reference, carrier);
  return reference;
}

function uriIn(args: unknown, name: string): string | undefined {
  if (args === undefined || args === null) return undefined;
  const { uri } = args as { readonly uri?: unknown };
  if (typeof args === "object" && !Array.isArray(args)) {
    if (typeof uri === "string") return uri;
    if (uri === undefined || uri === null) return undefined;
  }
  throw new ChannelReferenceError(
    `a reference to channel ${name} has connection_args that are not {"uri": "..."}`,
  );
}

function connectionOfUri(uri: string | undefined, carrier: SharedConnection): SharedConnection {
  if (uri === undefined) return carrier;
  // No configured URI is as long, and parsing one takes time.
  if (uri.length > longestUri || uri.split(",").length > mostNodes) return carrier;
  const address = addressOf(uri) ?? uri;
  if (address === carrier.address || nodesOf(carrier.address).includes(address)) return carrier;
  return connectionTo(address) ?? carrier;
}

/** The greatest length of a URI in a message, and the greatest number of nodes in it. */
const longestUri = 2048;
const mostNodes = 16;

function checkReceivedName(name: unknown): asserts name is string {
  try {
    checkName(name);
  } catch (cause) {
    throw new ChannelReferenceError("a channel reference has no valid name", { cause });
  }
}

function checkSentReach({ name, connection }: Reference, carrier: SharedConnection): void {
  if (distance[connection.reach] >= distance[carrier.reach]) return;
  throw new ChannelReferenceError(
    `channel ${name} on ${connection.address} reaches one ${connection.reach} only and cannot ` +
      `travel through ${carrier.address}; give it a connection that reaches as far`,
  );
}

function checkReceivedReach({ name, connection }: Reference, carrier: SharedConnection): void {
  if (distance[connection.reach] >= distance[carrier.reach]) return;
  throw new ChannelReferenceError(
    `a reference to channel ${name} came through ${carrier.address}, yet names ` +
      `${connection.address}, which reaches one ${connection.reach} only`,
  );
}

/** Connections of different users of one broker share an address. Memory transports may share one and still differ. */
function isSameBroker(a: SharedConnection, b: SharedConnection): boolean {
  return a === b || a.address === b.address && a.reach !== "isolate";
}

const distance: Readonly<Record<Reach, number>> = { isolate: 0, machine: 1, network: 2 };
