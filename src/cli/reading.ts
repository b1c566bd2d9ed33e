import type { Delivery, Message } from "../../mod.ts";
import type { RawChannel } from "../channel/raw_channel.ts";
import { printable } from "./printable.ts";
import { jsonOf, notationOf, type NotationOptions, writeValue } from "./values.ts";

/** The options of a command that prints messages. */
export interface ReadingOptions extends NotationOptions {
  readonly json?: boolean;
  readonly lossy?: boolean;
}

/**
 * Returns a message as it is printed: its value, or with --json an object with what is known about it.
 *
 * @throws {ChannelDecodeError | ChannelReferenceError | CliError} if its value cannot be decoded or printed
 */
export function textOf(
  channel: RawChannel,
  { value: message, attempts, redelivered }: Delivery<Message>,
  options: ReadingOptions,
): string | Uint8Array {
  const { contentType, body, reason, priority } = message;
  if (notationOf(options) === "cbor" && contentType === "application/cbor") return body; // with its channels
  const value = channel.decode(message);
  if (options.json) {
    const all = {
      ...{ value, attempts, redelivered },
      ...reason === undefined ? {} : { reason },
      ...priority === undefined ? {} : { priority },
    };
    return printable(jsonOf(all, options.lossy !== true)) + (options.null ? "\0" : "\n");
  }
  return writeValue(value, options, options.lossy !== true);
}
