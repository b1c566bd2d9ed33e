import type { Extension } from "./codec/mod.ts";
import { type Connection, connectionTo } from "./connections.ts";
import { ChannelReferenceError } from "./errors.ts";
import { checkName } from "./names.ts";
import type { Reach } from "./transport.ts";

/**
 * A channel as it travels inside a value: its name, relative to the broker of the channel that
 * carries it, or with the address of another broker. One broker has many addresses, so only a
 * relative reference works wherever it arrives.
 */
export interface Reference {
  readonly name: string;
  readonly connection: Connection;
}

/** The type of a reference on the wire, as the first item of a CBOR generic object (tag 27). */
export const referenceType = "Channel";

/** How `target` is written into a value that `carrier` carries. */
export function writeReference(target: Reference, carrier: Connection): Extension {
  const { name, connection } = target;
  if (connection === carrier || isSameBroker(connection, carrier)) return [referenceType, name];
  if (distance[connection.reach] < distance[carrier.reach]) {
    throw new ChannelReferenceError(
      `channel ${name} on ${connection.address} reaches one ${connection.reach} only and cannot ` +
        `travel through ${carrier.address}; give it a connection that reaches as far`,
    );
  }
  return [referenceType, name, connection.address];
}

/** What a reference that `carrier` brought means here. The message is untrusted: it adds no connection. */
export function readReference(args: readonly unknown[], carrier: Connection): Reference {
  const [name, address] = args;
  if (args.length > 2) throw new ChannelReferenceError("a channel reference has surplus items");
  try {
    checkName(name);
  } catch (cause) {
    throw new ChannelReferenceError("a channel reference has no valid name", { cause });
  }
  if (address === undefined || address === carrier.address) return { name, connection: carrier };
  const connection = typeof address === "string" ? connectionTo(address) : undefined;
  if (connection === undefined) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} names a broker that this process has not configured: ` +
        `${JSON.stringify(address)?.slice(0, 200)}; make a channel on it first to allow it`,
    );
  }
  if (distance[connection.reach] < distance[carrier.reach]) {
    throw new ChannelReferenceError(
      `a reference to channel ${name} came through ${carrier.address}, yet names ${address}, ` +
        `which reaches one ${connection.reach} only`,
    );
  }
  return { name, connection };
}

/** Connections of several users of one broker have one address; memories may be several all the same. */
function isSameBroker(a: Connection, b: Connection): boolean {
  return a.address === b.address && a.reach !== "isolate";
}

const distance: Readonly<Record<Reach, number>> = { isolate: 0, machine: 1, network: 2 };
