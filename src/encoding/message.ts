// How values become messages and messages become values, in either encoding.

import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelDecodeError, ChannelReferenceError } from "../shared/errors.ts";
import type { Message } from "../transports/transport.ts";
import * as cbor from "./cbor/mod.ts";
import type { Encoding } from "./encoding.ts";
import * as json from "./json/mod.ts";
import {
  readJsonReference,
  readReference,
  type Reference,
  referenceMarker,
  referenceType,
  writeJsonReference,
  writeReference,
} from "./reference.ts";

/** An encoding with its references; `W` is a reference as the encoding writes it. */
export interface Format<W> {
  readonly contentType: string;
  /** @param refer returns the reference to a channel; undefined for any other object */
  encode(
    value: unknown,
    refer: (object: object) => W | undefined,
    options: { readonly stacks: boolean },
  ): Uint8Array;
  /**
   * @param open returns the channel of a reference
   * @param owned whether the value may share memory with the bytes
   */
  decode(bytes: Uint8Array, open: (written: W) => unknown, owned: boolean): unknown;
  write(target: Reference, carrier: SharedConnection): W;
  read(written: W, carrier: SharedConnection): Reference;
  /** Returns what stands for the channel with this index in a copy that stays in the process. */
  placeholder(index: number): W;
  indexOf(placeholder: W): number;
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
  placeholder: (index) => [index],
  indexOf: ([index]) => index as number,
};

/** RFC 8259, with references as ChannelPy writes them. */
const jsonFormat: Format<json.Members> = {
  contentType: "application/json",
  encode: (value, refer) => json.encode(value, { marker: referenceMarker, extension: refer }),
  decode: (bytes, open) => json.decode(bytes, { marker: referenceMarker, extension: open }),
  write: writeJsonReference,
  read: readJsonReference,
  placeholder: (index) => ({ index }),
  indexOf: ({ index }) => index as number,
};

/** The format of each encoding. */
export const formats: Readonly<Record<Encoding, Format<unknown>>> = {
  cbor: cborFormat,
  json: jsonFormat,
};

/**
 * Decodes a message that the connection `via` has delivered. The message is untrusted: every failure is thrown as one of
 * two errors, which transports and loops handle.
 *
 * @param open returns the channel of a reference
 * @param owned whether the value may share memory with the message's body
 * @throws {ChannelDecodeError | ChannelReferenceError} and nothing else
 */
export function decodeMessage(
  message: Message,
  via: SharedConnection,
  open: (reference: Reference) => object,
  owned: boolean,
): unknown {
  const { body: bytes, contentType } = message;
  try {
    const format = formatOf(contentType);
    if (format === undefined) {
      const readable =
        `${cborFormat.contentType} and ${jsonFormat.contentType}, in UTF-8, are read`;
      throw new ChannelDecodeError(
        `a message has content type ${contentType.slice(0, 100)}, and only ${readable}`,
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

/** Returns the format of a content type (RFC 9110, section 8.3). A message without one is ChannelPy's, in JSON. */
function formatOf(contentType: string): Format<unknown> | undefined {
  if (contentType === cborFormat.contentType) return cborFormat; // the common case
  if (contentType.length > 255) return undefined; // no transport's protocol allows more
  const [type, ...parameters] = contentType.toLowerCase().split(";").map((part) => part.trim());
  if (parameters.some(isOtherCharset)) return undefined;
  if (type === "") return jsonFormat;
  return Object.values(formats).find((format) => format.contentType === type);
}

/** Reports whether a parameter names a character set other than UTF-8. */
function isOtherCharset(parameter: string): boolean {
  const charset = /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1];
  return charset !== undefined && charset !== "utf-8" && charset !== "utf8";
}
