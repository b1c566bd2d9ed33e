import { Connector } from "../remote/connector.ts";
import { ProcessRef } from "../remote/process_ref.ts";
import { countingReconnects } from "../remote/reconnects.ts";
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
import { keyOf } from "./channel_key.ts";
import { RedisCluster } from "./cluster/redis_cluster.ts";
import { RedisLink } from "./link.ts";
import type { LinkSessionSource } from "./connection/link_session.ts";
import { RedisSession, type RedisSessionOptions } from "./connection/session.ts";
import { parseRedisUri } from "./uri.ts";

/**
 * Channels on Redis 7 or Valkey 8, or later. All channels of a process share its one connection, or, in a cluster, one to each
 * node.
 */
export class RedisTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "network";
  readonly features: Features = {
    shared: true,
    terms: ["delay", "expires", "priority"],
    rendezvous: true,
  };
  readonly stats: Stats = newStats();
  readonly #server: ChannelServer;
  readonly #isCluster: boolean;
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
    const passedOn = countingReconnects(this.stats, watcher);
    this.#isCluster = parsed.isCluster;
    this.#server = parsed.isCluster
      ? new RedisCluster(options, passedOn)
      : new SingleServer(options, passedOn);
  }

  get trouble(): Error | undefined {
    return this.#server.trouble;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    const source = this.#server.sourceOf(keyOf(name));
    // What is sent to another node may arrive before the channel is made, so the link waits for the answer.
    const isNew = options.isNew === true && !this.#isCluster;
    return RedisLink.open(name, { ...options, isNew }, source, this.stats);
  }

  rest(): void {
    this.#server.rest();
  }
}

/** Where the channels of a transport are. */
interface ChannelServer {
  readonly trouble: Error | undefined;
  /** Returns where a link gets its connections from. */
  sourceOf(key: string): LinkSessionSource;
  rest(): void;
}

/** A server of its own: one connection serves all channels. */
class SingleServer implements ChannelServer {
  readonly #connector: Connector<RedisSession>;

  constructor(options: Omit<RedisSessionOptions, "processRef">, watcher: ConnectionWatcher) {
    const { address, endpoints } = options.uri;
    const processRef = new ProcessRef();
    const all = { ...options, processRef };
    this.#connector = new Connector({
      address,
      endpoints: endpoints.length,
      processRef,
      open: (i, timeout, signal) => RedisSession.connect(all, endpoints[i]!, timeout, signal),
    }, watcher);
  }

  get trouble(): Error | undefined {
    return this.#connector.trouble;
  }

  sourceOf(): LinkSessionSource {
    return this.#connector;
  }

  rest(): void {
    this.#connector.closeSoon();
  }
}
