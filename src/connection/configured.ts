// The connections that this process has configured: by URIs, Connection objects and transport objects in its code,
// by an environment variable, or by a configuration file. Only these can be named by a reference that is received.

import { finalizer, type WeakReference, weakReference } from "../shared/collection.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { shown } from "../shared/options.ts";
import type { ConnectionWatcher, Transport, TransportOptions } from "../transports/transport.ts";
import { settings } from "./config.ts";
import { checkTransportOptions, nodesOf, parseUri } from "./schemes.ts";
import type { Logger } from "./connection_options.ts";
import type { Settings } from "./settings.ts";
import { type Follower, SharedConnection } from "./shared_connection.ts";

/** Reports a failure that rejects no operation, to the logger's method `error` unless it is given a level. */
export type Report = (problem: string, level?: keyof Logger) => void;

/** The shared connections of Connection and transport objects, and their loggers, as long as the objects live. */
const sharedOf = new WeakMap<object, SharedConnection>();
const reportOf = new WeakMap<object, Report>();

/** Registers the shared connection of a Connection or transport object. */
export function setShared(connection: object, shared: SharedConnection, report?: Report): void {
  sharedOf.set(connection, shared);
  if (report !== undefined) reportOf.set(connection, report);
}

/** Returns the function by which the handles of a connection report failures; undefined without a logger. */
export function reportFor(connection: unknown): Report | undefined {
  return typeof connection === "object" && connection !== null
    ? reportOf.get(connection)
    : undefined;
}

/**
 * The configured connections by address; the connection to a cluster also by the address of each node. A connection that
 * code has configured stays here while something refers to it: a channel (open or closed), a Connection or
 * transport object, or an attachment. The garbage collector then removes it, with its URI and password.
 */
const configured = new Map<string, Set<WeakReference<SharedConnection>>>();

/** The connections that consist of a URI alone, by what the URI says: equal URIs share one. The keys hold passwords. */
const byUri = new Map<string, WeakReference<SharedConnection>>();

/** The connection of the environment variable or the configuration file. It stays for the life of the process. */
let byDefault: SharedConnection | undefined;

/** The default connection, while its configuration file is read. */
let reading: Promise<SharedConnection> | undefined;

interface Registration {
  readonly ref: WeakReference<SharedConnection>;
  readonly addresses: readonly string[];
  readonly uriKey: string | undefined;
}

const collected = finalizer<Registration>(({ ref, addresses, uriKey }) => {
  for (const address of addresses) {
    const refs = configured.get(address);
    if (refs?.delete(ref) && refs.size === 0) configured.delete(address);
  }
  if (uriKey !== undefined && byUri.get(uriKey) === ref) byUri.delete(uriKey);
});

/**
 * @param uriKey the key in `byUri`; absent for a connection that equal URIs do not share
 * @param others further addresses of what is connected to
 */
function register(
  connection: SharedConnection,
  uriKey?: string,
  others: readonly string[] = [],
): SharedConnection {
  const ref = weakReference(connection);
  const { address } = connection;
  const addresses = [...new Set([address, ...nodesOf(address), ...others])];
  for (const address of addresses) {
    const refs = configured.get(address);
    if (refs === undefined) configured.set(address, new Set([ref]));
    else refs.add(ref);
  }
  if (uriKey !== undefined) byUri.set(uriKey, ref);
  collected?.register(connection, { ref, addresses, uriKey });
  return connection;
}

/** Returns the first configured connection with this address, or with a node that has this address. */
export function connectionTo(address: string): SharedConnection | undefined {
  for (const ref of configured.get(address) ?? []) {
    const connection = ref.deref();
    if (connection !== undefined) return connection;
  }
}

/** The default connection while the configuration file that names it is not read, or after reading it failed. */
export class PendingConnection {
  /** Returns the connection. A failure is not remembered: the next call reads the configuration anew. */
  async resolved(): Promise<SharedConnection> {
    const connection = defaultConnection();
    return connection instanceof PendingConnection ? await reading! : connection;
  }
}

const pending = new PendingConnection();

/**
 * Returns the connection that an option names, or the default connection.
 *
 * @throws {ChannelConfigError} if the option names none
 */
export function connectionFor(
  option: string | URL | object | undefined,
): SharedConnection | PendingConnection {
  if (option === undefined) return defaultConnection();
  if (typeof option === "string") return connectionOfUri(option);
  if (option instanceof URL) return connectionOfUri(option.href);
  const shared = sharedOf.get(option);
  if (shared !== undefined) return shared;
  if (isTransport(option)) {
    const connection = register(new SharedConnection(option, () => option));
    setShared(option, connection);
    return connection;
  }
  throw new ChannelConfigError(
    `the option "connection" takes a URI, a URL, a Connection or a transport, not ${shown(option)}`,
  );
}

function isTransport(option: object | null): option is Transport {
  return typeof (option as Transport | null)?.open === "function";
}

/**
 * Makes the connection of a transport object, before a channel uses it.
 *
 * @param addresses the addresses of the transport, by any of which a reference may lead to it
 */
export function configureTransport(
  transport: Transport,
  addresses: readonly string[],
  follow: Follower | undefined,
): void {
  const connection = new SharedConnection(transport, () => transport);
  if (follow !== undefined) connection.follow = follow;
  setShared(transport, register(connection, undefined, addresses));
}

/** Says that a Connection object is not configured: references find it in another way, or not at all. */
export const unlisted: unique symbol = Symbol("unlisted");

/**
 * Returns the connection of a new Connection object, which equal URIs do not share.
 *
 * @param isListed whether a reference may lead to it
 * @throws {ChannelConfigError} if the URI or an option is invalid
 */
export function customConnection(
  uri: string,
  options: TransportOptions,
  watcher: ConnectionWatcher,
  retryTimeout: number | undefined,
  isListed: boolean,
): SharedConnection {
  const { scheme, parsed } = parseUri(uri);
  checkTransportOptions(options, scheme, parsed.address);
  // Connections within the isolate do not differ but by their address, and an address names one place.
  if (scheme.reach === "isolate" && !scheme.options?.length) {
    return connectionOfUri(uri, retryTimeout);
  }
  const connection = new SharedConnection(
    { ...parsed, reach: scheme.reach },
    () => scheme.load(uri, options, watcher),
    retryTimeout,
  );
  return isListed ? register(connection) : connection;
}

function connectionOfUri(uri: string, retryTimeout?: number): SharedConnection {
  const { scheme, parsed } = parseUri(uri);
  const uriKey = JSON.stringify(parsed);
  const about = { ...parsed, reach: scheme.reach };
  return byUri.get(uriKey)?.deref() ??
    register(new SharedConnection(about, () => scheme.load(uri), retryTimeout), uriKey);
}

function defaultConnection(): SharedConnection | PendingConnection {
  if (byDefault !== undefined) return byDefault;
  if (reading !== undefined) return pending;
  const found = settings();
  if (!(found instanceof Promise)) return byDefault = connectionOfSettings(found);
  reading = found.then((settings) => byDefault = connectionOfSettings(settings))
    .finally(() => reading = undefined);
  reading.catch(() => {}); // each operation that needs the connection rejects with the failure
  return pending;
}

function connectionOfSettings({ uri, retryTimeout, source }: Settings): SharedConnection {
  try {
    return connectionOfUri(uri, retryTimeout);
  } catch (error) {
    if (!(error instanceof ChannelConfigError)) throw error;
    throw new ChannelConfigError(`${source}: ${error.message}`, { cause: error });
  }
}
