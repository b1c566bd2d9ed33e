import { CodecError, decode, encode } from "./codec/mod.ts";
import type { Connection } from "./connections.ts";
import { ChannelDecodeError, ChannelReferenceError } from "./errors.ts";
import type { Handle } from "./handle.ts";
import { readReference, type Reference, referenceType, writeReference } from "./reference.ts";
import { handleOf } from "./registry.ts";
import type { Message } from "./transport.ts";

/** RFC 8949. */
const cbor = "application/cbor";

/** A value ready for its way, and the handles of the channels inside it. */
export interface Parcel {
  readonly message: Message;
  readonly carried: readonly Handle[];
}

/**
 * Encodes a value as it is now. Pending only while a configuration file is being read, without which
 * it is unknown how the channels inside the value are written.
 */
export function pack(value: unknown, carrier: Handle): Parcel | Promise<Parcel> {
  try {
    return packNow(value, carrier);
  } catch (error) {
    if (error !== unconfigured) throw error;
    return packLater(value, carrier);
  }
}

const unconfigured = Symbol("a connection is not known yet");

function packNow(value: unknown, carrier: Handle): Parcel {
  const carried: Handle[] = [];
  const via = configured(carrier);
  const body = encode(value, {
    extension: (object) => {
      const handle = handleOf(object);
      if (handle === undefined) return undefined;
      carried.push(handle);
      return writeReference({ name: handle.name, connection: configured(handle) }, via);
    },
  });
  return { message: { body, contentType: cbor }, carried };
}

function configured(handle: Handle): Connection {
  if (handle.connection instanceof Promise) throw unconfigured;
  return handle.connection;
}

/** Packs a copy of the value, in which the channels are the same objects. */
async function packLater(value: unknown, carrier: Handle): Promise<Parcel> {
  const channels: object[] = [];
  const copy = encode(value, {
    extension: (object) => handleOf(object) && [referenceType, channels.push(object) - 1],
  });
  await Promise.all([carrier, ...channels.map(handleOf)].map((handle) => handle?.connection));
  const thaw = (_type: string, [place]: readonly unknown[]) => channels[place as number];
  return packNow(decode(copy, { extension: thaw }), carrier);
}

/**
 * The value of a message that `via` brought.
 *
 * @param open makes a channel of a reference
 */
export function unpack(
  message: Message,
  via: Connection,
  open: (reference: Reference) => object,
): unknown {
  const { body: bytes, contentType } = message;
  if (contentType !== cbor) {
    const found = contentType === "" ? "no content type" : `content type ${contentType}`;
    throw new ChannelDecodeError(`a message has ${found}, and ${cbor} is expected`, {
      bytes,
      contentType,
    });
  }
  try {
    return decode(bytes, {
      extension: (type, args) =>
        type === referenceType ? open(readReference(args, via)) : undefined,
    });
  } catch (cause) {
    if (cause instanceof ChannelReferenceError) {
      throw new ChannelReferenceError(cause.message, { cause: cause.cause, bytes });
    }
    if (!(cause instanceof CodecError)) throw cause;
    const message = `a message cannot be decoded: ${cause.message}`;
    throw new ChannelDecodeError(message, { cause, bytes, contentType });
  }
}
