import { nextMessageId } from "../../shared/message_id.ts";
import { Connector } from "../remote/connector.ts";
import { newStats } from "../stats.ts";
import type {
  ConnectionWatcher,
  Features,
  Link,
  LinkOptions,
  Reach,
  Stats,
  Transport,
  TransportOptions,
} from "../transport.ts";
import { RedisLink } from "./link.ts";
import { RedisSession } from "./session.ts";
import { parseRedisUri } from "./uri.ts";

/** Channels on Redis 7 or Valkey 8, or later. All channels of a process share its one connection. */
export class RedisTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "network";
  readonly features: Features = {
    shared: true,
    terms: ["delay", "expires", "priority"],
    rendezvous: true,
  };
  readonly stats: Stats = newStats();
  readonly #connector: Connector<RedisSession>;
  /** The problems that were reported: once each. */
  readonly #warned = new Set<string>();

  /** @throws {ChannelConfigError} if the URI is not a Redis URI */
  constructor(uri: string, custom: TransportOptions = {}, watcher?: ConnectionWatcher) {
    const parsed = parseRedisUri(uri);
    const { username = parsed.username, password = parsed.password, name = parsed.name } = custom;
    const { ca, cert, key, servername } = custom;
    this.address = parsed.address;
    const options = {
      uri: {
        ...parsed,
        ...username === undefined ? {} : { username },
        ...password === undefined ? {} : { password },
        ...name === undefined ? {} : { name },
      },
      tls: Object.fromEntries(
        Object.entries({ ca, cert, key, servername }).filter(([, value]) => value !== undefined),
      ),
      warn: (problem: string) => {
        if (this.#warned.has(problem)) return;
        this.#warned.add(problem);
        watcher?.warned?.(problem);
      },
    };
    this.#connector = new Connector({
      address: parsed.address,
      endpoints: parsed.endpoints.length,
      open: (endpoint, timeout, signal) => {
        const { processRef } = this.#connector;
        const all = { ...options, processRef };
        return RedisSession.connect(all, parsed.endpoints[endpoint]!, timeout, signal);
      },
    }, {
      connected: (isAgain) => {
        if (isAgain) this.stats.reconnects++;
        watcher?.connected(isAgain);
      },
      disconnected: (error) => watcher?.disconnected(error),
      failed: (error, pause) => watcher?.failed(error, pause),
      blocked: (reason) => watcher?.blocked(reason),
      warned: (problem) => watcher?.warned?.(problem),
    });
  }

  get trouble(): Error | undefined {
    return this.#connector.trouble;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    return RedisLink.open(name, options, this.#connector, this.stats, nextMessageId());
  }

  rest(): void {
    this.#connector.closeSoon();
  }
}
