import { type Attached, Attachment } from "./attachment.ts";
import { type Settings, settings } from "./config.ts";
import { withoutCredentials } from "./credentials.ts";
import { ChannelConfigError, ChannelConnectionError } from "./errors.ts";
import type { LinkOptions, Reach, Transport } from "./transport.ts";
import { parseAmqpUri } from "./transports/amqp/uri.ts";
import { parseMemoryUri } from "./transports/memory_uri.ts";

/** What is known of a transport before its code is loaded, which happens when it is first used. */
interface Scheme {
  readonly reach: Reach;
  /** Throws a ChannelConfigError; two URIs that parse alike share a connection. */
  parse(uri: string): { readonly address: string };
  load(uri: string): Promise<Transport>;
}

const amqp: Scheme = {
  reach: "network",
  parse: parseAmqpUri,
  load: async (uri) => new (await import("./transports/amqp/transport.ts")).AmqpTransport(uri),
};

/** Every URI scheme. A new transport is one file or folder, and one line here. */
const schemes: Readonly<Record<string, Scheme>> = {
  "memory:": {
    reach: "isolate",
    parse: parseMemoryUri,
    load: async (uri) =>
      new (await import("./transports/memory.ts")).MemoryTransport(parseMemoryUri(uri).address),
  },
  "amqp:": amqp,
  "amqps:": amqp,
};

/** How a channel's connection is named: by URI, or by a transport made elsewhere. */
export type ConnectionOption = string | URL | Transport;

/**
 * One process's connection to one broker, which all its channels there share. It stays known when
 * nothing uses it, for references may name it; what it costs is given back then.
 */
export class Connection {
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

function isTransient(error: unknown): boolean {
  return error instanceof ChannelConnectionError && error.transient;
}

/** Every connection that this process has configured, by what identifies it. */
const known = new Map<string | Transport, Connection>();
let byDefault: Connection | Promise<Connection> | undefined;

/** The connection of this option, or the configured one. Pending only while a configuration file is read. */
export function connectionFor(
  option: ConnectionOption | undefined,
): Connection | Promise<Connection> {
  if (option === undefined) return byDefault ??= configured();
  if (typeof option === "string") return fromUri(option);
  if (option instanceof URL) return fromUri(option.href);
  if (typeof option?.open === "function") {
    return remember(option, () => new Connection(option, () => Promise.resolve(option)));
  }
  throw new ChannelConfigError("the option connection takes a URI, a URL or a transport");
}

/** The connection that this process has configured for an address, if it has. */
export function connectionTo(address: string): Connection | undefined {
  for (const connection of known.values()) {
    if (connection.address === address) return connection;
  }
}

function configured(): Connection | Promise<Connection> {
  const found = settings();
  return found instanceof Promise
    ? found.then((settings) => byDefault = fromSettings(settings))
    : fromSettings(found);
}

function fromSettings({ uri, retryTimeout, source }: Settings): Connection {
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

function fromUri(uri: string, retryTimeout?: number): Connection {
  const scheme = schemeOf(uri);
  if (scheme === undefined) {
    throw new ChannelConfigError(
      `no transport for ${withoutCredentials(uri)}: a connection begins with one of ` +
        Object.keys(schemes).join(" "),
    );
  }
  const parsed = scheme.parse(uri);
  return remember(
    JSON.stringify(parsed),
    () => new Connection({ ...parsed, reach: scheme.reach }, () => scheme.load(uri), retryTimeout),
  );
}

function remember(identity: string | Transport, make: () => Connection): Connection {
  let connection = known.get(identity);
  if (connection === undefined) known.set(identity, connection = make());
  return connection;
}
