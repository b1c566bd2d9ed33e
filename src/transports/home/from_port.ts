import { ChannelConfigError } from "../../shared/errors.ts";
import { anonymousName } from "../../shared/names.ts";
import { newStats } from "../stats.ts";
import type { Features, Link, LinkOptions, Reach, Stats, Transport } from "../transport.ts";
import type { HomeCode } from "./home_code.ts";
import type { dialPort } from "./pipes/port_dial.ts";
import type { Port } from "./pipes/port_pipe.ts";
import type { HomeTransport } from "./transport.ts";

/** A `MessagePort`, as browsers, Workers and runtimes have it. */
export interface MessagePortLike {
  /** Sends a message to the other end. */
  postMessage(message: unknown): void;
  /** Begins to receive messages. */
  start(): void;
  /** Closes the port. */
  close(): void;
}

/** Returns the code; it may load it. */
type Load = () => HomeCode<typeof dialPort> | Promise<HomeCode<typeof dialPort>>;

/** The transports of ports, so that a port has one, however often it is asked for. */
const transports = new WeakMap<MessagePortLike, PortTransport>();

/**
 * Returns the transport of a port, as the function `fromPort` of the entries.
 *
 * @throws {ChannelConfigError} if it is no port
 */
export function transportOf(port: MessagePortLike, load: Load): Transport {
  if (typeof port?.postMessage !== "function" || typeof port.start !== "function") {
    throw new ChannelConfigError(
      "fromPort: the argument is no MessagePort; pass one end of a MessageChannel",
    );
  }
  let transport = transports.get(port);
  if (transport === undefined) {
    transports.set(port, transport = new PortTransport(port as Port, load));
  }
  return transport;
}

/** The channels of the home that has the other end of a port. Its code is loaded when a channel is first used. */
class PortTransport implements Transport {
  readonly address = `port:${anonymousName()}`;
  readonly reach: Reach = "machine";
  readonly features: Features;
  readonly #port: Port;
  readonly #load: Load;
  #loading: Promise<HomeTransport> | undefined;
  #loaded: HomeTransport | undefined;

  constructor(port: Port, load: Load) {
    this.#port = port;
    this.#load = load;
    const terms = () => this.#loaded?.features.terms ?? [];
    this.features = {
      shared: true,
      rendezvous: true, // if the home has none, it says so when the channel is opened
      get terms() {
        return terms();
      },
    };
  }

  get trouble(): Error | undefined {
    return this.#loaded === undefined ? notOpened : this.#loaded.trouble;
  }

  get stats(): Readonly<Stats> {
    return this.#loaded?.stats ?? noStats;
  }

  async open(name: string, options: LinkOptions): Promise<Link> {
    this.#loaded ??= await (this.#loading ??= this.#make());
    return await this.#loaded.open(name, options);
  }

  rest(): void {
    this.#loaded?.rest();
  }

  async #make(): Promise<HomeTransport> {
    try {
      const { HomeTransport, dialer } = await this.#load();
      const { address, reach } = this;
      return new HomeTransport(address, dialer(this.#port, address), { reach });
    } catch (error) {
      this.#loading = undefined;
      throw error;
    }
  }
}

const notOpened = /* @__PURE__ */ new Error("there has been no answer yet");

const noStats: Readonly<Stats> = /* @__PURE__ */ newStats();
