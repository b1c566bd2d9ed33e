// How values become messages and messages become values, in either encoding.

import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelConfigError, ChannelDecodeError, ChannelReferenceError } from "../shared/errors.ts";
import type { Message } from "../transports/transport.ts";
import * as cbor from "./cbor/mod.ts";
import type { Encoding } from "./encoding.ts";
import type { Members } from "./json/mod.ts";
import { readReference, type Reference, referenceType, writeReference } from "./reference.ts";

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
  /** Whether an error of `decode` says what is wrong with the bytes, and shows none of them. */
  explains(error: unknown): boolean;
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
  explains: (error) => error instanceof cbor.CodecError,
  write: writeReference,
  read: readReference,
  placeholder: (index) => [index],
  indexOf: ([index]) => index as number,
};

/** The formats of this process. */
const formats: { -readonly [Name in Encoding]?: Format<unknown> } = { cbor: cborFormat };

/** Adds JSON, which the entry ./memory does not have. */
export function addJson(format: Format<Members>): void {
  formats.json = format;
}

/** Returns the format of an encoding. @throws {ChannelConfigError} for JSON if no entry has added it */
export function formatOf(encoding: Encoding): Format<unknown> {
  const format = formats[encoding];
  if (format !== undefined) return format;
  throw new ChannelConfigError(`the encoding "json" ${missingJson}`);
}

const missingJson = 'is not in "@channelts/channel/memory"; import from "@channelts/channel"';

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
  const encoding = encodingOf(contentType);
  const format = encoding && formats[encoding];
  if (format === undefined) {
    const problem = encoding === undefined
      ? "and only application/cbor and application/json, in UTF-8, are read"
      : `which ${missingJson}`;
    throw new ChannelDecodeError(
      `a message has content type ${contentType.slice(0, 100)}, ${problem}`,
      { bytes, contentType },
    );
  }
  try {
    return format.decode(bytes, (written) => open(format.read(written, via)), owned);
  } catch (cause) {
    if (cause instanceof ChannelReferenceError) {
      throw new ChannelReferenceError(cause.message, { cause: cause.cause, bytes });
    }
    const problem = format.explains(cause)
      ? (cause as Error).message
      : "its content cannot be read here";
    throw new ChannelDecodeError(`a message cannot be decoded: ${problem}`, {
      cause,
      bytes,
      contentType,
    });
  }
}

/** Returns the encoding of a content type (RFC 9110, section 8.3). A message without one is ChannelPy's, in JSON. */
function encodingOf(contentType: string): Encoding | undefined {
  if (contentType === cborFormat.contentType) return "cbor"; // the common case
  if (contentType.length > 255) return undefined; // no transport's protocol allows more
  const [type, ...parameters] = contentType.toLowerCase().split(";").map((part) => part.trim());
  if (parameters.some(isOtherCharset)) return undefined;
  if (type === cborFormat.contentType) return "cbor";
  return type === "" || type === "application/json" ? "json" : undefined;
}

/** Reports whether a parameter names a character set other than UTF-8. */
function isOtherCharset(parameter: string): boolean {
  const charset = /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1];
  return charset !== undefined && charset !== "utf-8" && charset !== "utf8";
}
