import * as cbor from "./cbor/mod.ts";
import { LateConnection, type SharedConnection } from "../connection/shared_connection.ts";
import type { Encoding } from "./encoding.ts";
import { ChannelDecodeError, ChannelReferenceError } from "../shared/errors.ts";
import { isCloneError } from "../shared/put_errors.ts";
import { stackFrom } from "../shared/stacks.ts";
import type { Handle } from "../handle/handle.ts";
import * as json from "./json/mod.ts";
import { nextMessageId } from "../shared/message_id.ts";
import {
  readJsonReference,
  readReference,
  type Reference,
  referenceMarker,
  referenceType,
  writeJsonReference,
  writeReference,
} from "./reference.ts";
import { directionOf, handleOf } from "./channel_registry.ts";
import type { Message } from "../transports/transport.ts";

/** A value ready for its way, and the handles of the channels inside it. */
export interface Parcel {
  readonly message: Message;
  readonly carried: readonly Handle[];
}

/** An encoding at work; `W` is how a channel is written in it. */
interface Format<W> {
  readonly contentType: string;
  /** @param refer what is written for a channel; undefined for any other object */
  encode(
    value: unknown,
    refer: (object: object) => W | undefined,
    options: { readonly stacks: boolean },
  ): Uint8Array;
  /**
   * @param open makes a channel of what was written for it
   * @param owned whether the value may be made of the bytes
   */
  decode(bytes: Uint8Array, open: (written: W) => unknown, owned: boolean): unknown;
  write(target: Reference, carrier: SharedConnection): W;
  read(written: W, carrier: SharedConnection): Reference;
  /** What stands for the channel of this number in a copy that does not travel. */
  mark(place: number): W;
  placeOf(mark: W): number;
}

/** RFC 8949. */
const cborFormat: Format<readonly unknown[]> = {
  contentType: "application/cbor",
  encode: (value, refer, { stacks }) =>
    cbor.encode(value, {
      stacks,
      extension: (object) => {
        const written = refer(object);
        return written && [referenceType, ...written];
      },
    }),
  decode: (bytes, open, owned) =>
    cbor.decode(bytes, {
      extension: (type, args) => type === referenceType ? open(args) : undefined,
      owned,
    }),
  write: writeReference,
  read: readReference,
  mark: (place) => [place],
  placeOf: ([place]) => place as number,
};

/** RFC 8259, with references as ChannelPy writes them. */
const jsonFormat: Format<json.Members> = {
  contentType: "application/json",
  encode: (value, refer) => json.encode(value, { marker: referenceMarker, extension: refer }),
  decode: (bytes, open) => json.decode(bytes, { marker: referenceMarker, extension: open }),
  write: writeJsonReference,
  read: readJsonReference,
  mark: (place) => ({ place }),
  placeOf: ({ place }) => place as number,
};

const formats: Readonly<Record<Encoding, Format<unknown>>> = {
  cbor: cborFormat,
  json: jsonFormat,
};

/**
 * Encodes a value as it is now. Pending only while a configuration file is being read, without which
 * it is unknown how the channels inside the value are written.
 */
export function pack(value: unknown, carrier: Handle): Parcel | Promise<Parcel> {
  try {
    return packNow(value, carrier);
  } catch (error) {
    if (error === unconfigured) return packLater(value, carrier);
    if (isCloneError(error)) stackFrom(error, pack); // its frames are all the encoder's, for a deep value
    throw error;
  }
}

const unconfigured = Symbol("a connection is not known yet");

function packNow(value: unknown, carrier: Handle): Parcel {
  const carried: Handle[] = [];
  const via = configured(carrier);
  const format = formats[carrier.encoding];
  const body = format.encode(value, (object) => {
    const handle = handleOf(object);
    if (handle === undefined) return undefined;
    carried.push(handle);
    const { name, encoding } = handle;
    const direction = directionOf(object);
    return format.write({ name, connection: configured(handle), encoding, direction }, via);
  }, carrier);
  return { message: { body, contentType: format.contentType, id: nextMessageId() }, carried };
}

function configured(handle: Handle): SharedConnection {
  if (handle.connection instanceof LateConnection) throw unconfigured;
  return handle.connection;
}

/** Packs a copy of the value, in which the channels are the same objects. */
async function packLater(value: unknown, carrier: Handle): Promise<Parcel> {
  const channels: object[] = [];
  const format = formats[carrier.encoding];
  const copy = format.encode(
    value,
    (object) => handleOf(object) && format.mark(channels.push(object) - 1),
    carrier,
  );
  await Promise.all([carrier, ...channels.map(handleOf)].map((handle) => handle?.known()));
  const thawed = format.decode(copy, (mark) => channels[format.placeOf(mark)], true);
  return packNow(thawed, carrier);
}

/**
 * The value of a message that `via` brought. Anybody may have written it: whatever it holds, and whatever fails
 * here, is thrown as one of two errors, because transports and loops have to outlive it.
 *
 * @param open makes a channel of a reference
 * @param owned whether the message's bytes may become the value's
 * @throws {ChannelDecodeError | ChannelReferenceError} and nothing else
 */
export function unpack(
  message: Message,
  via: SharedConnection,
  open: (reference: Reference) => object,
  owned: boolean,
): unknown {
  const { body: bytes, contentType } = message;
  try {
    const format = formatOf(contentType);
    if (format === undefined) {
      const read = `${cborFormat.contentType} and ${jsonFormat.contentType}, in UTF-8, are read`;
      throw new ChannelDecodeError(
        `a message has content type ${contentType.slice(0, 100)}, and only ${read}`,
        { bytes, contentType },
      );
    }
    return format.decode(bytes, (written) => open(format.read(written, via)), owned);
  } catch (cause) {
    if (cause instanceof ChannelDecodeError) throw cause;
    if (cause instanceof ChannelReferenceError) {
      throw new ChannelReferenceError(cause.message, { cause: cause.cause, bytes });
    }
    const isExplained = cause instanceof cbor.CodecError || cause instanceof json.JsonError;
    const problem = isExplained ? cause.message : "its content cannot be read here";
    throw new ChannelDecodeError(`a message cannot be decoded: ${problem}`, {
      cause,
      bytes,
      contentType,
    });
  }
}

/** What reads a content type (RFC 9110, section 8.3); a message without one is ChannelPy's, and JSON. */
function formatOf(contentType: string): Format<unknown> | undefined {
  if (contentType === cborFormat.contentType) return cborFormat; // as this library writes it
  if (contentType.length > 255) return undefined; // no protocol has a longer one
  const [type, ...parameters] = contentType.toLowerCase().split(";").map((part) => part.trim());
  if (parameters.some(isOtherCharset)) return undefined;
  if (type === "") return jsonFormat;
  return Object.values(formats).find((format) => format.contentType === type);
}

function isOtherCharset(parameter: string): boolean {
  const charset = /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1];
  return charset !== undefined && charset !== "utf-8" && charset !== "utf8";
}
