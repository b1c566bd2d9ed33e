// JSON with references as ChannelPy writes them. Each entry of the package that has a transport besides memory: adds it,
// for channels that other languages reach.

import { connectionTo } from "../connection/configured.ts";
import { addressOf, nodesOf } from "../connection/schemes.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelReferenceError } from "../shared/errors.ts";
import * as json from "./json/mod.ts";
import type { Format } from "./message.ts";
import {
  checkReceivedName,
  checkReceivedReach,
  checkSentReach,
  type Reference,
} from "./reference.ts";

/** The key that marks a reference in JSON, as ChannelPy writes it. */
const referenceMarker = "__channel__";

/** ChannelPy's only connection class, which connects to RabbitMQ. */
const channelPyConnection = "RabbitConnection";

/**
 * Returns the members of a JSON reference to `target`, inside a value that `carrier` carries. ChannelPy needs every
 * member, and always a URI. Its retry timeout is left to the receiver.
 *
 * @throws {ChannelReferenceError} if `target` allows one direction only, or does not reach as far as `carrier`
 */
export function writeJsonReference(target: Reference, carrier: SharedConnection): json.Members {
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
 * broker, usually that of `carrier`; it is used only if this process has configured it, or the program's function
 * `follow` allows it. The channel is put into in JSON, as its sender reads JSON.
 *
 * @throws {ChannelReferenceError} if the reference is invalid
 */
export function readJsonReference(members: json.Members, carrier: SharedConnection): Reference {
  const { name, connection_type: type, connection_args: args } = members;
  checkReceivedName(name);
  if (type !== channelPyConnection && type !== undefined && type !== null) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} has a connection_type other than "${channelPyConnection}"`,
    );
  }
  const reference: Reference = {
    name,
    connection: connectionOfUri(uriIn(args, name), carrier, name),
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

function connectionOfUri(
  uri: string | undefined,
  carrier: SharedConnection,
  name: string,
): SharedConnection {
  if (uri === undefined) return carrier;
  // No configured URI is as long, and parsing one takes time.
  if (uri.length > longestUri || uri.split(",").length > mostNodes) return carrier;
  const address = addressOf(uri) ?? uri;
  if (address === carrier.address || nodesOf(carrier.address).includes(address)) return carrier;
  return connectionTo(address) ?? carrier.follow?.(address, name) ?? carrier;
}

/** The greatest length of a URI in a message, and the greatest number of nodes in it. */
const longestUri = 2048;
const mostNodes = 16;

/** RFC 8259, with references as ChannelPy writes them. */
export const jsonFormat: Format<json.Members> = {
  contentType: "application/json",
  encode: (value, refer) => json.encode(value, { marker: referenceMarker, extension: refer }),
  decode: (bytes, open) => json.decode(bytes, { marker: referenceMarker, extension: open }),
  explains: (error) => error instanceof json.JsonError,
  write: writeJsonReference,
  read: readJsonReference,
  placeholder: (index) => ({ index }),
  indexOf: ({ index }) => index as number,
};
