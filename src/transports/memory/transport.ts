import { missingError } from "../../shared/closed_errors.ts";
import { newStats } from "../stats.ts";
import type { Features, Link, LinkOptions, Reach, Stats, Transport } from "../transport.ts";
import { MemoryLink } from "./link.ts";
import { MemoryChannel } from "./memory_channel.ts";

/** A transport between the tasks of one isolate. It is the reference for the behaviour of the others. */
export class MemoryTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "isolate";
  readonly features: Features = {
    shared: false,
    terms: ["delay", "expires", "priority"],
    rendezvous: true,
  };
  readonly trouble = undefined;
  readonly stats: Stats = newStats();
  readonly #channels = new Map<string, MemoryChannel>();
  readonly #isShared: boolean;

  /** @param isShared whether {@linkcode MemoryTransport.at} returns it while it has channels */
  constructor(address = "memory:", isShared = false) {
    this.address = address;
    this.#isShared = isShared;
  }

  /** Returns the transport of this address that has channels, or else a new one. */
  static at(address: string): MemoryTransport {
    return transports.get(address) ?? new MemoryTransport(address, true);
  }

  /** Returns the number of claims that wait at a channel. Tests call it. */
  claimsAt(name: string): number {
    return this.#channels.get(name)?.claims ?? 0;
  }

  // deno-lint-ignore require-await -- so that a missing channel rejects
  async open(name: string, options: LinkOptions): Promise<Link> {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      if (!options.create) throw missingError(name);
      channel = this.#create(name, options);
    }
    return new MemoryLink(channel, options.observer);
  }

  #create(name: string, options: LinkOptions): MemoryChannel {
    const channel = new MemoryChannel(name, options, this.stats, () => {
      if (this.#channels.get(name) === channel) this.#channels.delete(name);
      if (this.#channels.size === 0 && this.#isShared) transports.delete(this.address);
    });
    this.#channels.set(name, channel);
    if (this.#isShared) transports.set(this.address, this);
    return channel;
  }
}

/** The shared transports that have channels, by address. A channel outlasts the handles that refer to its transport. */
const transports = new Map<string, MemoryTransport>();
