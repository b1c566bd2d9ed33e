import { PendingConnection } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { formatOf } from "../encoding/message.ts";
import { isCloneError } from "../shared/put_errors.ts";
import { stackFrom } from "../shared/stacks.ts";
import { nextMessageId } from "../shared/message_id.ts";
import type { Message } from "../transports/transport.ts";
import { carrierOf, directionOf } from "./channel_registry.ts";
import type { Carrier } from "./contracts.ts";

/** A value as a message that can be sent, and the handles of the channels inside the value. */
export interface EncodedValue {
  readonly message: Message;
  readonly carried: readonly Carrier[];
}

/**
 * Encodes a value as it is at the call. The result is a promise only while a configuration file is read that decides
 * how the channels inside the value are written.
 *
 * @param carrier the handle that the value is put into
 * @throws {DOMException} a `DataCloneError` for a value that the encoding cannot represent
 * @throws {ChannelReferenceError} for a channel that cannot travel through `carrier`
 */
export function encodeValue(
  value: unknown,
  carrier: Carrier,
): EncodedValue | Promise<EncodedValue> {
  try {
    return encodeNow(value, carrier);
  } catch (error) {
    if (error === isPending) return encodeLater(value, carrier);
    // For a deep value, the encoder's frames are all that the stack would hold.
    if (isCloneError(error)) stackFrom(error, encodeValue);
    throw error;
  }
}

const isPending = Symbol("a connection is still pending");

function encodeNow(value: unknown, carrier: Carrier): EncodedValue {
  const carried: Carrier[] = [];
  const via = connectionOf(carrier);
  const format = formatOf(carrier.encoding);
  const body = format.encode(value, (object) => {
    const handle = carrierOf(object);
    if (handle === undefined) return undefined;
    carried.push(handle);
    const { name, encoding } = handle;
    const direction = directionOf(object);
    return format.write({ name, connection: connectionOf(handle), encoding, direction }, via);
  }, carrier);
  return { message: { body, contentType: format.contentType, id: nextMessageId() }, carried };
}

/** @throws `isPending` */
function connectionOf(handle: Carrier): SharedConnection {
  if (handle.connection instanceof PendingConnection) throw isPending;
  return handle.connection;
}

/** Copies the value at the call, with the same channels inside, and encodes the copy when the connections are known. */
async function encodeLater(value: unknown, carrier: Carrier): Promise<EncodedValue> {
  const channels: object[] = [];
  const format = formatOf(carrier.encoding);
  const copy = format.encode(
    value,
    (object) => carrierOf(object) && format.placeholder(channels.push(object) - 1),
    carrier,
  );
  await Promise.all([carrier, ...channels.map(carrierOf)].map((handle) => handle?.resolved()));
  const copied = format.decode(
    copy,
    (placeholder) => channels[format.indexOf(placeholder)],
    true,
  );
  return encodeNow(copied, carrier);
}
