import { type Attached, Attachment } from "./attachment.ts";
import { type Settings, settings } from "./config.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { withoutCredentials } from "./credentials.ts";
import { ChannelConfigError, ChannelConnectionError } from "./errors.ts";
import { newStats } from "./stats.ts";
import type {
  ConnectionWatcher,
  LinkOptions,
  PutTerm,
  Reach,
  Stats,
  Transport,
} from "./transport.ts";
import { parseAmqpUri } from "./transports/amqp/uri.ts";
import { parseMemoryUri } from "./transports/memory_uri.ts";
import { parseSqliteUri } from "./transports/sqlite/uri.ts";

/** What is known of a transport before its code is loaded, which happens when it is first used. */
interface Scheme {
  readonly reach: Reach;
  /** Throws a ChannelConfigError; two URIs that parse alike share a connection. */
  parse(uri: string): { readonly address: string };
  /** Which custom options it takes. */
  readonly options: readonly string[];
  load(uri: string, custom?: Custom, watcher?: ConnectionWatcher): Promise<Transport>;
}

/** What a connection object adds to its URI, for the transport. */
export type Custom = Omit<
  ConnectionOptions,
  "retryTimeout" | "logger" | "ondisconnect" | "onreconnect"
>;

const tlsOptions = ["ca", "cert", "key", "servername"] as const;

const amqp: Scheme = {
  reach: "network",
  parse: parseAmqpUri,
  options: ["username", "password", "name"],
  load: async (uri, custom = {}, watcher) => {
    const { AmqpTransport } = await import("./transports/amqp/transport.ts");
    return new AmqpTransport(uri, custom, watcher);
  },
};

/** Every URI scheme. A new transport is one file or folder, and one line here. */
const schemes: Readonly<Record<string, Scheme>> = {
  "memory:": {
    reach: "isolate",
    parse: parseMemoryUri,
    options: [],
    load: async (uri) =>
      new (await import("./transports/memory.ts")).MemoryTransport(parseMemoryUri(uri).address),
  },
  "sqlite:": {
    reach: "machine",
    parse: parseSqliteUri,
    options: [],
    load: async (uri, _, watcher) =>
      new (await import("./transports/sqlite/transport.ts")).SqliteTransport(uri, watcher),
  },
  "amqp:": amqp,
  "amqps:": { ...amqp, options: [...amqp.options, ...tlsOptions] },
};

/** How a channel's connection is named: by URI, by an object of one's own, or by a transport. */
export type ConnectionOption = string | URL | Connection | Transport;

/**
 * One process's connection to one broker, which all its channels there share. It stays known when
 * nothing uses it, for references may name it; what it costs is given back then.
 */
export class SharedConnection {
  readonly address: string;
  readonly reach: Reach;
  /** Milliseconds; from the configuration file. */
  readonly retryTimeout: number | undefined;
  readonly #load: () => Promise<Transport>;
  #loading: Promise<Transport> | undefined;
  #transport: Transport | undefined;
  readonly #attachments = new Map<string, Attachment>();

  constructor(
    about: { readonly address: string; readonly reach: Reach },
    load: () => Promise<Transport>,
    retryTimeout?: number,
  ) {
    this.address = about.address;
    this.reach = about.reach;
    this.retryTimeout = retryTimeout;
    this.#load = load;
  }

  /** Why the broker cannot be reached at the moment, if it cannot. */
  get trouble(): Error | undefined {
    if (this.#transport !== undefined) return this.#transport.trouble;
    return this.reach === "network" ? new Error("there has been no answer yet") : undefined;
  }

  /** What a message may ask of its transport, which is known when something is attached. */
  get terms(): readonly PutTerm[] {
    return this.#transport?.features.terms ?? [];
  }

  /** What its transport counts. */
  get stats(): Readonly<Stats> {
    return this.#transport?.stats ?? noStats;
  }

  /** The open attachment to the channel of this name, with `handle` on it; `signal` gives it up. */
  async attach(
    handle: Attached,
    name: string,
    options: Omit<LinkOptions, "observer" | "signal">,
    signal: AbortSignal,
  ): Promise<Attachment> {
    const deadline = performance.now() + options.retryTimeout;
    for (;;) {
      let attachment = this.#attachments.get(name);
      if (attachment?.closing !== undefined) {
        await attachment.closing;
        continue;
      }
      const isJoining = attachment !== undefined;
      attachment ??= this.#open(name, options);
      try {
        await attachment.awaited(signal);
      } catch (error) {
        // Who opened it may have been less patient.
        if (isJoining && isTransient(error) && performance.now() < deadline) continue;
        throw error;
      }
      // Events of the past, such as a closeAll before this handle was made, are not for it.
      if (attachment.isShared) await attachment.link.catchUp();
      if (attachment.closing !== undefined) continue;
      attachment.add(handle);
      return attachment;
    }
  }

  #open(name: string, options: Omit<LinkOptions, "observer" | "signal">): Attachment {
    const attachment: Attachment = new Attachment(
      async (observer, signal) => {
        this.#transport ??= await (this.#loading ??= this.#load());
        return await this.#transport.open(name, { ...options, observer, signal });
      },
      () => {
        if (this.#attachments.get(name) === attachment) this.#attachments.delete(name);
        if (this.#attachments.size === 0) this.#transport?.rest?.();
      },
    );
    this.#attachments.set(name, attachment);
    return attachment;
  }
}

const noStats: Readonly<Stats> = newStats();

function isTransient(error: unknown): boolean {
  return error instanceof ChannelConnectionError && error.transient;
}

/** What a connection object stands for. */
const sharedOf = new WeakMap<object, SharedConnection>();

export function setShared(connection: object, shared: SharedConnection): void {
  sharedOf.set(connection, shared);
}

/** Every connection object that there is; it goes with the last who uses it. */
const customs = new Set<WeakRef<SharedConnection>>();
const collected = new FinalizationRegistry<WeakRef<SharedConnection>>((ref) => customs.delete(ref));

/** Every other connection that this process has configured, by what identifies it. */
const known = new Map<string | Transport, SharedConnection>();
let byDefault: SharedConnection | Promise<SharedConnection> | undefined;

/** The connection of this option, or the configured one. Pending only while a configuration file is read. */
export function connectionFor(
  option: ConnectionOption | undefined,
): SharedConnection | Promise<SharedConnection> {
  if (option === undefined) return byDefault ??= configured();
  if (typeof option === "string") return fromUri(option);
  if (option instanceof URL) return fromUri(option.href);
  const shared = sharedOf.get(option as object);
  if (shared !== undefined) return shared;
  if (isTransport(option)) {
    return remember(option, () => new SharedConnection(option, () => Promise.resolve(option)));
  }
  throw new ChannelConfigError(
    "the option connection takes a URI, a URL, a Connection or a transport",
  );
}

function isTransport(option: unknown): option is Transport {
  return typeof (option as Transport | null)?.open === "function";
}

/** A connection that only those share who are given it. */
export function customConnection(
  uri: string,
  custom: Custom,
  watcher: ConnectionWatcher,
  retryTimeout: number | undefined,
): SharedConnection {
  const { scheme, parsed } = parse(uri);
  for (const [name, value] of Object.entries(custom)) {
    if (value === undefined || scheme.options.includes(name)) continue;
    const use = (tlsOptions as readonly string[]).includes(name) ? "amqps:" : "amqp: and amqps:";
    throw new ChannelConfigError(`the option ${name} is for ${use}, not for ${parsed.address}`);
  }
  // Nothing tells two of them apart, and an address is to mean one place.
  if (scheme.reach === "isolate") return fromUri(uri, retryTimeout);
  const shared = new SharedConnection(
    { ...parsed, reach: scheme.reach },
    () => scheme.load(uri, custom, watcher),
    retryTimeout,
  );
  const ref = new WeakRef(shared);
  customs.add(ref);
  collected.register(shared, ref);
  return shared;
}

/** The first connection that this process has configured whose address is wanted, if it has one. */
export function connectionTo(isWanted: (address: string) => boolean): SharedConnection | undefined {
  for (const connection of known.values()) {
    if (isWanted(connection.address)) return connection;
  }
  for (const ref of customs) {
    const connection = ref.deref();
    if (connection !== undefined && isWanted(connection.address)) return connection;
  }
}

function configured(): SharedConnection | Promise<SharedConnection> {
  const found = settings();
  return found instanceof Promise
    ? found.then((settings) => byDefault = fromSettings(settings))
    : fromSettings(found);
}

function fromSettings({ uri, retryTimeout, source }: Settings): SharedConnection {
  try {
    return fromUri(uri, retryTimeout);
  } catch (error) {
    if (!(error instanceof ChannelConfigError)) throw error;
    throw new ChannelConfigError(`${source}: ${error.message}`, { cause: error });
  }
}

/** The address of a URI, whatever its credentials and parameters; undefined for what is none here. */
export function addressOf(uri: string): string | undefined {
  try {
    return schemeOf(uri)?.parse(uri.replace(/[?#].*$/s, "")).address;
  } catch {
    return undefined;
  }
}

function schemeOf(uri: string): Scheme | undefined {
  const name = /^[a-z][a-z0-9+.-]*:/i.exec(uri)?.[0].toLowerCase() ?? "";
  return Object.hasOwn(schemes, name) ? schemes[name] : undefined;
}

function fromUri(uri: string, retryTimeout?: number): SharedConnection {
  const { scheme, parsed } = parse(uri);
  return remember(
    JSON.stringify(parsed),
    () =>
      new SharedConnection(
        { ...parsed, reach: scheme.reach },
        () => scheme.load(uri),
        retryTimeout,
      ),
  );
}

function parse(uri: string): { scheme: Scheme; parsed: { readonly address: string } } {
  const scheme = schemeOf(uri);
  if (scheme !== undefined) return { scheme, parsed: scheme.parse(uri) };
  throw new ChannelConfigError(
    `no transport for ${withoutCredentials(uri)}: a connection begins with one of ` +
      Object.keys(schemes).join(" "),
  );
}

function remember(identity: string | Transport, make: () => SharedConnection): SharedConnection {
  let connection = known.get(identity);
  if (connection === undefined) known.set(identity, connection = make());
  return connection;
}
