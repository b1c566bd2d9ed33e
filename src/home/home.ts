import { parseUri } from "../connection/schemes.ts";
import { ChannelConnectionError } from "../shared/errors.ts";
import { none, type Signature } from "../shared/options.ts";
import { newStats } from "../transports/stats.ts";
import type {
  Features,
  Link,
  LinkOptions,
  Reach,
  Stats,
  Transport,
} from "../transports/transport.ts";
import { configureHome } from "./configure_home.ts";
import { type HomeOptions, homeSignature } from "./home_options.ts";
import { Reception, setReception } from "./reception.ts";

const signature: Signature = /* @__PURE__ */ homeSignature(
  "new Home",
  1,
  'new Home({ connection: "sqlite:jobs.db" })',
);

/**
 * A home lends its channels to peers. {@linkcode listen} makes one that has listeners.
 *
 * A home is a transport, too: a channel whose `connection` is the home is one of the home's, and a reference to it can be
 * used by the peers.
 */
export class Home implements Transport, AsyncDisposable {
  readonly reach: Reach = "network";
  readonly #reception: Reception;
  readonly #address: string;
  #closing: Promise<void> | undefined;

  /**
   * Makes a home without a listener.
   *
   * @throws {ChannelConfigError} if an option is invalid
   */
  constructor(options: HomeOptions = none) {
    signature.check(options, arguments.length);
    this.#reception = new Reception(options);
    this.#address = options.address === undefined ? "" : parseUri(options.address).parsed.address;
    setReception(this, this.#reception);
    configureHome(this, options);
  }

  /** The first address under which peers reach the home; without a listener, `home:` and an id. */
  get address(): string {
    return this.#address || this.#reception.servers[0]?.address || `home:${this.#reception.id}`;
  }

  /** The addresses of the listeners, in the order in which they were given. */
  get addresses(): readonly string[] {
    return this.#reception.servers.map(({ address }) => address);
  }

  /** The features of the connection that the home serves. */
  get features(): Features {
    // Until the transport is loaded, which opening a channel does, capacity 0 is not refused.
    const { terms, rendezvous = false } = this.#reception.features ?? { rendezvous: true };
    return { shared: true, rendezvous, ...terms === undefined ? {} : { terms } };
  }

  /** Why the connection that the home serves cannot be reached now; undefined if it can. */
  get trouble(): Error | undefined {
    return this.#reception.served?.trouble;
  }

  /** Why the connection that the home serves accepts no messages now. */
  get blocked(): string | undefined {
    return this.#reception.served?.blocked;
  }

  /** The counts of the connection that the home serves. */
  get stats(): Readonly<Stats> {
    return this.#reception.served?.stats ?? noStats;
  }

  /** Attaches to a channel of the home, as {@linkcode Transport.open} says. */
  async open(name: string, options: LinkOptions): Promise<Link> {
    const reception = this.#reception;
    if (reception.isClosed) {
      throw new ChannelConnectionError(
        `connect: ${this.address}: the home is closed; make another`,
        {
          address: this.address,
          transient: false,
        },
      );
    }
    return await reception.openOwn(name, options);
  }

  /** Closes the home: its listeners, then the connections of its peers. Resolves within a bounded time. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.#reception.close();
  }

  /** Closes the home. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const noStats: Readonly<Stats> = newStats();
