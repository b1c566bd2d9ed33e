import { type Attributes, diag } from "@opentelemetry/api";
import { PendingConnection } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { carrierOf } from "../handle/channel_registry.ts";
import type { Handle } from "../handle/handle.ts";
import { isAnonymous } from "../shared/names.ts";
import type { InstrumentOptions } from "./instrument_options.ts";

/** The types of operations, as the conventions name them; undefined for an operation that they do not have. */
export type OperationType = "send" | "receive" | "process" | undefined;

/** What spans and measurements say of one kind of operation on a channel. */
export interface Described {
  /** The name of the span. */
  readonly title: string;
  /** The attributes of the span. */
  readonly span: Attributes;
  /** The attributes of measurements, which have few values. */
  readonly measured: Attributes;
}

/** A channel as the semantic conventions describe it. */
export class Destination {
  readonly #handle: Handle;
  readonly #template: string | undefined;
  readonly #described = new Map<string, Described>();

  constructor(handle: Handle, template: string | undefined) {
    this.#handle = handle;
    this.#template = template;
  }

  /** The connection of the channel; undefined while the configuration file that names it is read. */
  get connection(): SharedConnection | undefined {
    const { connection } = this.#handle;
    return connection instanceof PendingConnection ? undefined : connection;
  }

  /** What is said of the channel itself, by its name. */
  get attributes(): Attributes {
    return { ...this.#place, "messaging.destination.name": this.#handle.name };
  }

  get #place(): Attributes {
    return placeOf(this.connection?.address ?? "");
  }

  /** @param operation the name of the public function */
  described(operation: string, type: OperationType): Described {
    const known = this.#described.get(operation);
    if (known !== undefined) return known;
    const described = this.#describe(operation, type);
    if (this.connection !== undefined) this.#described.set(operation, described);
    return described;
  }

  #describe(operation: string, type: OperationType): Described {
    const { name } = this.#handle;
    const isUnnamed = isAnonymous(name);
    const template = this.#template;
    const place = this.#place;
    const common: Attributes = {
      ...place,
      "messaging.operation.name": operation,
      ...template === undefined ? {} : { "messaging.destination.template": template },
    };
    const named = { "messaging.destination.name": name };
    const isRabbit = place["messaging.system"] === "rabbitmq";
    const label = template ?? (isUnnamed ? undefined : name);
    return {
      title: label === undefined ? operation : `${operation} ${label}`,
      span: {
        ...common,
        ...named,
        ...type === undefined ? {} : { "messaging.operation.type": type },
        ...isUnnamed
          ? { "messaging.destination.anonymous": true, "messaging.destination.temporary": true }
          : {},
        ...isRabbit ? { "messaging.rabbitmq.destination.routing_key": name } : {},
      },
      measured: isUnnamed || template !== undefined ? common : { ...common, ...named },
    };
  }
}

/** Returns the attributes of a connection, from its address, which has no credentials. */
export function placeOf(address: string): Attributes {
  const scheme = address.slice(0, address.indexOf(":"));
  const system = systems[scheme] ?? "channelts";
  const place: Attributes = { "messaging.system": system };
  if (scheme !== "") place["channelts.transport"] = scheme;
  // A cluster's address names several nodes: which of them is meant is not known.
  const [, host, port] = /^\w+:\/\/(\[[^\]]+\]|[^/:,?]*):?(\d*)(?:[/?]|$)/.exec(address) ?? [];
  if (host) place["server.address"] = host.replace(/^\[(.*)\]$/, "$1");
  const number = port ? Number(port) : host ? ports[scheme] : undefined;
  if (number !== undefined) place["server.port"] = number;
  return place;
}

const systems: Readonly<Record<string, string>> = {
  amqp: "rabbitmq",
  amqps: "rabbitmq",
  redis: "redis",
  rediss: "redis",
};

/** The ports of addresses that name none. */
const ports: Readonly<Record<string, number>> = {
  amqp: 5672,
  amqps: 5671,
  redis: 6379,
  rediss: 6379,
  ws: 80,
  wss: 443,
};

/** The destinations of channels, each made once. */
export class Destinations {
  readonly #template: InstrumentOptions["template"];
  readonly #used: (connection: SharedConnection) => void;
  readonly #known = new WeakMap<object, Destination | null>();

  /** @param used called for the connection of each destination */
  constructor(
    template: InstrumentOptions["template"],
    used: (connection: SharedConnection) => void,
  ) {
    this.#template = template;
    this.#used = used;
  }

  /** Returns the destination of a channel; undefined if the object is none, or if it carries replies. */
  of(owner: object): Destination | undefined {
    let known = this.#known.get(owner);
    if (known === undefined) {
      const handle = carrierOf(owner) as Handle | undefined;
      known = handle === undefined || handle.options.isReply
        ? null
        : new Destination(handle, this.#templateOf(handle.name));
      this.#known.set(owner, known);
    }
    if (known === null) return undefined;
    if (known.connection !== undefined) this.#used(known.connection);
    return known;
  }

  #templateOf(name: string): string | undefined {
    try {
      return this.#template?.(name);
    } catch (error) {
      diag.error(`ChannelTS: the option template failed: ${error}`);
    }
  }
}
