import { randomHex } from "../../shared/hex.ts";
import { Connector } from "../remote/connector.ts";
import { countingReconnects } from "../remote/reconnects.ts";
import { newStats } from "../stats.ts";
import type {
  ConnectionWatcher,
  Features,
  Link,
  LinkOptions,
  PutTerm,
  Reach,
  Stats,
  Transport,
} from "../transport.ts";
import { HomeLink } from "./link.ts";
import type { Dial } from "./pipes/pipe.ts";
import type { Welcome } from "./protocol/hello.ts";
import { HomeSession, Numbers } from "./session.ts";

/** How a peer presents itself to a home. */
export interface HomeTransportOptions {
  /** How far the channels reach; default: `network`. */
  readonly reach?: Reach;
  /** The secret that the home demands, if it does. */
  readonly token?: string;
  /** A name for the home's log. */
  readonly name?: string;
  readonly watcher?: ConnectionWatcher;
}

/** The channels of a home in another process, thread or page. All channels of a process share one connection to it. */
export class HomeTransport implements Transport {
  readonly address: string;
  readonly reach: Reach;
  readonly stats: Stats = newStats();
  readonly features: Features;
  readonly #connector: Connector<HomeSession>;
  #terms: readonly PutTerm[] = [];

  /** @param address the canonical address of the home, without credentials */
  constructor(address: string, dial: Dial, options: HomeTransportOptions = {}) {
    const { reach = "network", token, name, watcher } = options;
    this.address = address;
    this.reach = reach;
    const terms = () => this.#terms;
    this.features = {
      shared: true,
      rendezvous: true, // if the home has none, it says so when the channel is opened
      get terms() {
        return terms();
      },
    };
    const numbers = new Numbers();
    let session: string | undefined;
    this.#connector = new Connector({
      address,
      endpoints: 1,
      open: async (_endpoint, timeout, signal) => {
        session ??= randomHex(16); // by which a home knows the connections of this transport
        const hello = {
          session,
          ...token === undefined ? {} : { token },
          ...name === undefined ? {} : { name },
        };
        const { processRef } = this.#connector;
        const opened = await HomeSession.connect(
          { address, dial, processRef, numbers, hello },
          timeout,
          signal,
        );
        this.#terms = opened.welcome.terms;
        return opened;
      },
    }, countingReconnects(this.stats, watcher));
  }

  get trouble(): Error | undefined {
    return this.#connector.trouble;
  }

  /** What the home has told of itself; undefined while there is no connection. */
  get welcome(): Welcome | undefined {
    return this.#connector.session?.welcome;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    return HomeLink.open(name, options, this.#connector, this.stats);
  }

  rest(): void {
    this.#connector.closeSoon();
  }
}
