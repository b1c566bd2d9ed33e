// What a test asks a home, in the home's own process or thread.

import { Buffer } from "node:buffer";
import process from "node:process";
import { Home, type HomeOptions, listen } from "../../home.ts";
import { census } from "./census.ts";
import { AmqpTransport } from "../../src/transports/amqp/transport.ts";
import { MemoryTransport } from "../../src/transports/memory/transport.ts";
import { RedisTransport } from "../../src/transports/redis/transport.ts";
import { SqliteTransport } from "../../src/transports/sqlite/transport.ts";
import type { Transport } from "../../src/transports/transport.ts";
import type { Raw } from "../conformance/fixture.ts";
import { collector } from "../support/garbage.ts";
import { linkOptions, rawOn } from "../support/link.ts";

/** What a home is started with. It can be sent. */
export interface Orders {
  /** Where it listens. Empty: peers come by ports only. */
  readonly addresses: readonly string[];
  /** `memory:`, or the URI of a file or broker. */
  readonly engine: string;
  /** Options of the home, but those that are functions. */
  readonly options?: HomeOptions;
  /** Which of {@linkcode rules} decides what a peer may do. */
  readonly rule?: keyof typeof rules;
}

/** A question to a home. */
export interface Question {
  readonly ask: "census" | "exists" | "put" | "get" | "announce" | "memory" | "close";
  /** The name of a channel. */
  readonly name?: string;
  /** In base64. */
  readonly body?: string;
  readonly contentType?: string;
}

/** What a home has of its peers. */
export interface Census {
  /** The names of the peers. */
  readonly peers: readonly string[];
  readonly links: number;
  readonly loans: number;
  readonly copies: number;
  /** In bytes. */
  readonly buffered: number;
  /** By the names of channels: how many peers wait to get. */
  readonly waiting: Readonly<Record<string, number>>;
  /** By the names of channels: how many peers are attached. */
  readonly attached: Readonly<Record<string, number>>;
}

/** Rules for `authorize`, which is a function and cannot be sent. */
export const rules = {
  public: ({ channel }: { readonly channel: string }): boolean => channel.startsWith("public"),
};

/** A home that answers a test's questions. */
export class Control {
  readonly home: Home;
  /** What the home serves, through a transport that the home does not use. */
  readonly #engine: Transport;

  static async start({ addresses, engine, options = {}, rule }: Orders): Promise<Control> {
    const served = transportOf(engine);
    const all: HomeOptions = {
      ...options,
      connection: served,
      ...rule === undefined ? {} : { authorize: rules[rule] },
    };
    const home = addresses.length > 0 ? await listen(addresses, all) : new Home(all);
    return new Control(home, engine === "memory:" ? served : transportOf(engine));
  }

  private constructor(home: Home, engine: Transport) {
    this.home = home;
    this.#engine = engine;
  }

  async answer({ ask, name = "", body = "", contentType = "" }: Question): Promise<unknown> {
    switch (ask) {
      case "census": {
        const { waiting, attached, ...counts } = census(this.home);
        const byName = {
          waiting: Object.fromEntries(waiting),
          attached: Object.fromEntries(attached),
        };
        return { ...counts, ...byName } satisfies Census;
      }
      case "exists":
        return await this.#on(name, false, () => Promise.resolve(true)) ?? false;
      case "put":
        return await this.#on(
          name,
          true,
          (raw) => raw.put({ body: Buffer.from(body, "base64"), contentType }),
        );
      case "get": {
        const message = await this.#on(name, true, (raw) => raw.get());
        return message &&
          { body: Buffer.from(message.body).toString("base64"), contentType: message.contentType };
      }
      case "announce":
        return await this.#on(name, true, (raw) => raw.announce(Buffer.from(body, "base64")));
      case "memory":
        await (await collector())?.();
        return process.memoryUsage();
      case "close":
        return await this.home.close();
    }
  }

  /** Resolves with undefined if the channel is missing. */
  async #on<T>(
    name: string,
    create: boolean,
    use: (raw: Raw) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const link = await this.#engine.open(name, { ...linkOptions, create });
      await using raw = rawOn(link);
      return await use(raw);
    } catch (error) {
      if (!create && (error as Error).name === "ChannelClosedError") return undefined;
      throw error;
    } finally {
      this.#engine.rest?.();
    }
  }
}

function transportOf(engine: string): Transport {
  if (engine === "memory:") return new MemoryTransport();
  if (engine.startsWith("redis:")) return new RedisTransport(engine);
  return engine.startsWith("sqlite:") ? new SqliteTransport(engine) : new AmqpTransport(engine);
}
