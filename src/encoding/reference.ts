import {
  addressOf,
  connectionTo,
  nodesOf,
  type SharedConnection,
} from "../connection/shared_connection.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { defaultEncoding, type Encoding, isEncoding } from "./encoding.ts";
import { ChannelReferenceError } from "../shared/errors.ts";
import type { Members } from "./json/mod.ts";
import { checkName } from "../shared/names.ts";
import type { Direction } from "./channel_registry.ts";
import type { Reach } from "../transports/transport.ts";

/**
 * A channel as it travels inside a value: its name, relative to the broker of the channel that
 * carries it, or with the address of another broker. One broker has many addresses, so only a
 * relative reference works wherever it arrives.
 */
export interface Reference {
  readonly name: string;
  readonly connection: SharedConnection;
  /** What is written into the channel, so that its readers can read it. */
  readonly encoding: Encoding;
  /** The one way that it allows; absent: both. */
  readonly direction?: Direction | undefined;
}

/** The type of a reference on the wire, as the first item of a CBOR generic object (tag 27). */
export const referenceType = "Channel";

/** How `target` is written into a CBOR value that `carrier` carries: the items after the type. */
export function writeReference(target: Reference, carrier: SharedConnection): readonly unknown[] {
  const { name, connection, encoding, direction } = target;
  const address = isSameBroker(connection, carrier) ? undefined : connection.address;
  checkSent(target, carrier);
  if (direction !== undefined) return [name, address, encoding, direction];
  if (encoding !== defaultEncoding) return [name, address, encoding];
  return address === undefined ? [name] : [name, address];
}

/** What a reference that `carrier` brought means here. The message is untrusted: it adds no connection. */
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
  checkReceived(reference, carrier);
  return reference;
}

/** What a message has in place of a text. It may be anything, and may hold a password. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(withoutCredentials(value.slice(0, 200)));
  return value === null ? "null" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** The key that marks a reference in JSON, as ChannelPy has it. */
export const referenceMarker = "__channel__";

/** The class of ChannelPy's that connects to RabbitMQ, the only one it has. */
const rabbitConnection = "RabbitConnection";

/**
 * How `target` is written into a JSON value that `carrier` carries: as ChannelPy does, which needs
 * every member and always a URI. How long to try is left to the receiver.
 */
export function writeJsonReference(target: Reference, carrier: SharedConnection): Members {
  checkSent(target, carrier);
  if (target.direction !== undefined) {
    throw new ChannelReferenceError(
      `channel ${target.name} cannot travel in JSON as one to ${target.direction} only: ` +
        `JSON's references have no direction; send the channel itself, or use encoding "cbor"`,
    );
  }
  return {
    name: target.name,
    connection_type: rabbitConnection,
    retry_timeout: null,
    // ChannelPy knows no lists of nodes.
    connection_args: { uri: nodesOf(target.connection.address)[0]! },
  };
}

/**
 * What a JSON reference that `carrier` brought means here. Its URI is how its sender reaches the
 * broker, mostly the one that carried it: it counts only where this process has configured it, too.
 * Whoever writes references in JSON reads JSON.
 */
export function readJsonReference(members: Members, carrier: SharedConnection): Reference {
  const { name, connection_type: type, connection_args: args } = members;
  checkReceivedName(name);
  if (type !== rabbitConnection && type !== undefined && type !== null) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has a connection_type other than "${rabbitConnection}"`,
    );
  }
  const reference: Reference = {
    name,
    connection: ofUri(uriIn(args, name), carrier),
    encoding: "json",
  };
  checkReceived(reference, carrier);
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

function ofUri(uri: string | undefined, carrier: SharedConnection): SharedConnection {
  if (uri === undefined) return carrier;
  // Nobody has configured such a one, and to parse it takes time.
  if (uri.length > longestUri || uri.split(",").length > mostNodes) return carrier;
  const address = addressOf(uri) ?? uri;
  if (address === carrier.address || nodesOf(carrier.address).includes(address)) return carrier;
  return connectionTo(address) ?? carrier;
}

/** How long a URI in a message may be, and how many nodes it may list. */
const longestUri = 2048;
const mostNodes = 16;

function checkReceivedName(name: unknown): asserts name is string {
  try {
    checkName(name);
  } catch (cause) {
    throw new ChannelReferenceError("a channel reference has no valid name", { cause });
  }
}

function checkSent({ name, connection }: Reference, carrier: SharedConnection): void {
  if (distance[connection.reach] >= distance[carrier.reach]) return;
  throw new ChannelReferenceError(
    `channel ${name} on ${connection.address} reaches one ${connection.reach} only and cannot ` +
      `travel through ${carrier.address}; give it a connection that reaches as far`,
  );
}

function checkReceived({ name, connection }: Reference, carrier: SharedConnection): void {
  if (distance[connection.reach] >= distance[carrier.reach]) return;
  throw new ChannelReferenceError(
    `a reference to channel ${name} came through ${carrier.address}, yet names ` +
      `${connection.address}, which reaches one ${connection.reach} only`,
  );
}

/** Connections of several users of one broker have one address; memories may be several all the same. */
function isSameBroker(a: SharedConnection, b: SharedConnection): boolean {
  return a === b || a.address === b.address && a.reach !== "isolate";
}

const distance: Readonly<Record<Reach, number>> = { isolate: 0, machine: 1, network: 2 };
