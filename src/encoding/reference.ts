import { connectionTo } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelReferenceError } from "../shared/errors.ts";
import { checkName } from "../shared/names.ts";
import { withoutCredentials } from "../shared/redact.ts";
import type { Reach } from "../transports/transport.ts";
import { defaultEncoding, type Encoding, isEncoding } from "./encoding.ts";

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
 * to those that this process has configured, unless the program's function `follow` allows it.
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
  const connection = typeof address === "string"
    ? connectionTo(address) ?? carrier.follow?.(address, name)
    : undefined;
  if (connection === undefined) {
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

/** @throws {ChannelReferenceError} for a received name that no channel may have */
export function checkReceivedName(name: unknown): asserts name is string {
  try {
    checkName(name);
  } catch (cause) {
    throw new ChannelReferenceError("a channel reference has no valid name", { cause });
  }
}

/** @throws {ChannelReferenceError} if a channel does not reach as far as the channel that is to carry it */
export function checkSentReach({ name, connection }: Reference, carrier: SharedConnection): void {
  if (distance[connection.reach] >= distance[carrier.reach]) return;
  throw new ChannelReferenceError(
    `channel ${name} on ${connection.address} reaches one ${connection.reach} only and cannot ` +
      `travel through ${carrier.address}; give it a connection that reaches as far`,
  );
}

/** @throws {ChannelReferenceError} if a received reference names a channel that cannot have travelled so far */
export function checkReceivedReach(
  { name, connection }: Reference,
  carrier: SharedConnection,
): void {
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
