import { type Attached, Attachment } from "./attachment.ts";
import { type Settings, settings } from "./config.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { platform } from "../shared/host.ts";
import { ChannelConfigError, ChannelConnectionError, ChannelError } from "../shared/errors.ts";
import { shown } from "../shared/options.ts";
import { nearest } from "../shared/spelling.ts";
import { newStats } from "../transports/stats.ts";
import type {
  ConnectionWatcher,
  LinkOptions,
  PutTerm,
  Reach,
  Stats,
  Transport,
} from "../transports/transport.ts";
import { parseAmqpUri } from "../transports/amqp/uri.ts";
import { parseMemoryUri } from "../transports/memory/uri.ts";
import { parseSqliteUri } from "../transports/sqlite/uri.ts";

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
    const { AmqpTransport } = await withModules(
      "amqp:",
      () => import("../transports/amqp/transport.ts"),
    );
    return new AmqpTransport(uri, custom, watcher);
  },
};

/** Loads a transport that needs the modules of Node, which browsers do not have. */
async function withModules<T>(scheme: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (platform() !== undefined) throw cause;
    throw new ChannelConfigError(
      `${scheme} connections need Deno, Bun or Node; in a browser or an edge runtime use memory:, ` +
        "or a transport of your own",
      { cause },
    );
  }
}

/** Every URI scheme. A new transport is one file or folder, and one line here. */
const schemes: Readonly<Record<string, Scheme>> = {
  "memory:": {
    reach: "isolate",
    parse: parseMemoryUri,
    options: [],
    load: async (uri) =>
      (await import("../transports/memory/transport.ts")).MemoryTransport.at(
        parseMemoryUri(uri).address,
      ),
  },
  "sqlite:": {
    reach: "machine",
    parse: parseSqliteUri,
    options: [],
    load: async (uri, _, watcher) => {
      const { SqliteTransport } = await withModules(
        "sqlite:",
        () => import("../transports/sqlite/transport.ts"),
      );
      return new SqliteTransport(uri, watcher);
    },
  },
  "amqp:": amqp,
  "amqps:": { ...amqp, options: [...amqp.options, ...tlsOptions] },
};

/** How a channel's connection is named: by URI, by an object of one's own, or by a transport. */
export type ConnectionOption = string | URL | Connection | Transport;

/**
 * One process's connection to one broker, which all its channels there share. What it costs is given back
 * while nothing is attached; it is forgotten when nothing refers to it any more.
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

  /** Why the broker takes no messages at the moment, if it can be reached and takes none. */
  get blocked(): string | undefined {
    return this.#transport?.blocked;
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
    if (options.capacity === 0) await this.#checkRendezvous(name);
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

  /** @throws {ChannelConfigError} where the transport cannot have a channel of capacity 0 */
  async #checkRendezvous(name: string): Promise<void> {
    const { features } = this.#transport ??= await this.#loaded();
    if (features.rendezvous) return;
    throw new ChannelConfigError(
      `channel ${name}: the option capacity cannot be 0 on ${this.address}: the broker stores a value ` +
        "before anyone takes it, so a put cannot wait until its value is taken; use capacity: 1, or request " +
        "to wait until a value was handled; memory: and sqlite: have channels of capacity 0",
    );
  }

  #open(name: string, options: Omit<LinkOptions, "observer" | "signal">): Attachment {
    const attachment: Attachment = new Attachment(
      async (observer, signal) => {
        this.#transport ??= await this.#loaded();
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

  /** A failure is not remembered: the next use tries anew. */
  #loaded(): Promise<Transport> {
    return this.#loading ??= this.#load().catch((cause) => {
      this.#loading = undefined;
      if (cause instanceof ChannelError) throw cause;
      throw new ChannelConnectionError(
        `the code of the transport for ${this.address} cannot be loaded (${String(cause)}); ` +
          "all but memory: need Deno, Node or Bun",
        { address: this.address, cause, transient: false },
      );
    });
  }
}

const noStats: Readonly<Stats> = newStats();

function isTransient(error: unknown): boolean {
  return error instanceof ChannelConnectionError && error.transient;
}

/** Where handles report what could not be done, and no operation is there to be rejected. */
export type Report = (problem: string) => void;

/** What a Connection object, or a transport object, stands for, as long as there is that object; and where it logs. */
const sharedOf = new WeakMap<object, SharedConnection>();
const reportOf = new WeakMap<object, Report>();

export function setShared(connection: object, shared: SharedConnection, report?: Report): void {
  sharedOf.set(connection, shared);
  if (report !== undefined) reportOf.set(connection, report);
}

/** Where the handles of a connection report; undefined where it has no logger. */
export function reportFor(option: ConnectionOption | undefined): Report | undefined {
  return typeof option === "object" ? reportOf.get(option) : undefined;
}

/**
 * The connections that this process has configured, which are those that a reference may name: by their
 * address, and those of clusters also by the address of each node. One that was configured in code counts for as long
 * as something refers to it that was made with it: a channel, open or closed, a Connection or transport object, what
 * is attached. Afterwards it is forgotten, with its URI and password, as garbage is collected.
 */
const configured = new Map<string, Set<WeakRef<SharedConnection>>>();

/** Of them, those that have nothing but their URI: who names the same URI shares one. The keys hold passwords. */
const ofUris = new Map<string, WeakRef<SharedConnection>>();

/** The one of the environment or the configuration file: it counts for the life of the process. */
let byDefault: SharedConnection | undefined;

/** The configuration file, while it is being read. */
let reading: Promise<SharedConnection> | undefined;

interface Trace {
  readonly ref: WeakRef<SharedConnection>;
  readonly addresses: readonly string[];
  readonly identity: string | undefined;
}

const collected = new FinalizationRegistry<Trace>(({ ref, addresses, identity }) => {
  for (const address of addresses) {
    const there = configured.get(address);
    if (there?.delete(ref) && there.size === 0) configured.delete(address);
  }
  if (identity !== undefined && ofUris.get(identity) === ref) ofUris.delete(identity);
});

/** @param identity what a connection is found by that others share who name its URI */
function remember(connection: SharedConnection, identity?: string): SharedConnection {
  const ref = new WeakRef(connection);
  const addresses = [...new Set([connection.address, ...nodesOf(connection.address)])];
  for (const address of addresses) {
    const there = configured.get(address);
    if (there === undefined) configured.set(address, new Set([ref]));
    else there.add(ref);
  }
  if (identity !== undefined) ofUris.set(identity, ref);
  collected.register(connection, { ref, addresses, identity });
  return connection;
}

/** An address for each node that an address lists: `amqp://a:1,b:2/v` is `amqp://a:1/v`, `amqp://b:2/v`. */
export function nodesOf(address: string): string[] {
  const [, scheme, hosts, rest] = /^([^/]*\/\/)([^/]*)(.*)$/s.exec(address) ?? [];
  return hosts === undefined
    ? [address]
    : hosts.split(",").map((host) => `${scheme}${host}${rest}`);
}

/** The first connection that this process has configured with this address, or with a node of this address. */
export function connectionTo(address: string): SharedConnection | undefined {
  for (const ref of configured.get(address) ?? []) {
    const connection = ref.deref();
    if (connection !== undefined) return connection;
  }
}

/**
 * The connection where none is given, while the configuration file is not read that names it, or after it could not
 * be used.
 */
export class LateConnection {
  /** Resolves when it is known. What it rejects with is not remembered: the next call reads anew what is there then. */
  async known(): Promise<SharedConnection> {
    const connection = connectionByDefault();
    return connection instanceof LateConnection ? await reading! : connection;
  }
}

const late = new LateConnection();

/** The connection of this option, or the configured one; that is late while a configuration file is read. */
export function connectionFor(
  option: ConnectionOption | undefined,
): SharedConnection | LateConnection {
  if (option === undefined) return connectionByDefault();
  if (typeof option === "string") return fromUri(option);
  if (option instanceof URL) return fromUri(option.href);
  const shared = sharedOf.get(option as object);
  if (shared !== undefined) return shared;
  if (isTransport(option)) {
    const connection = remember(new SharedConnection(option, () => Promise.resolve(option)));
    setShared(option, connection);
    return connection;
  }
  throw new ChannelConfigError(
    `the option connection takes a URI, a URL, a Connection or a transport, and got ${
      shown(option)
    }`,
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
  return remember(
    new SharedConnection(
      { ...parsed, reach: scheme.reach },
      () => scheme.load(uri, custom, watcher),
      retryTimeout,
    ),
  );
}

function connectionByDefault(): SharedConnection | LateConnection {
  if (byDefault !== undefined) return byDefault;
  if (reading !== undefined) return late;
  const found = settings();
  if (!(found instanceof Promise)) return byDefault = fromSettings(found);
  reading = found.then((settings) => byDefault = fromSettings(settings))
    .finally(() => reading = undefined);
  reading.catch(() => {}); // who needs it hears of it
  return late;
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
  const identity = JSON.stringify(parsed);
  const about = { ...parsed, reach: scheme.reach };
  return ofUris.get(identity)?.deref() ??
    remember(new SharedConnection(about, () => scheme.load(uri), retryTimeout), identity);
}

function parse(uri: string): { scheme: Scheme; parsed: { readonly address: string } } {
  const scheme = schemeOf(uri);
  if (scheme !== undefined) return { scheme, parsed: scheme.parse(uri) };
  const known = Object.keys(schemes);
  const meant = meantUri(uri, known);
  const advice = meant === undefined
    ? `a connection begins with one of ${known.join(" ")}`
    : `did you mean ${meant}?`;
  throw new ChannelConfigError(
    `${JSON.stringify(withoutCredentials(uri))} is no URI of a connection; ${advice}`,
  );
}

/** The URI that a text was likely meant to be. */
function meantUri(text: string, known: readonly string[]): string | undefined {
  const [, word, rest] = /^([a-z][a-z0-9+.-]*)(:\/\/.*|:)?$/is.exec(text) ?? [];
  const near = word === undefined ? undefined : nearest(`${word}:`, known);
  if (near !== undefined) {
    if (!near.startsWith("amqp")) return near;
    return rest === undefined || rest === ":" ? `${near}//localhost` : `${near}//…`;
  }
  if (/^(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d{1,5})?$/i.test(text)) return `amqp://${text}`;
  if (/^\.{0,2}\/(?!\/)[^@:]*$/.test(text)) return `sqlite:${text}`;
}
