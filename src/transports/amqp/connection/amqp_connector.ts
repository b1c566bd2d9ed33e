import { Connector } from "../../remote/connector.ts";
import type { ConnectionWatcher } from "../../transport.ts";
import { CulpritFinder } from "./culprit_finder.ts";
import { Session, type SessionOptions } from "./session.ts";

/** Keeps the one connection to a broker. */
export class AmqpConnector extends Connector<Session> {
  readonly culprits: CulpritFinder;
  readonly #channelLimit: { channels: number };

  constructor(
    options: Omit<SessionOptions, "processRef" | "culprits" | "channelLimit">,
    watcher: ConnectionWatcher,
  ) {
    const { address, endpoints } = options.uri;
    const culprits = new CulpritFinder();
    const channelLimit = { channels: Infinity };
    super({
      address,
      endpoints: endpoints.length,
      open: async (endpoint, timeout, signal) => {
        const { processRef } = this;
        const all = { ...options, processRef, culprits, channelLimit };
        const session = await Session.connect(all, endpoints[endpoint]!, timeout, signal);
        session.onBlocked = (reason) => watcher.blocked(reason);
        return session;
      },
    }, watcher);
    this.culprits = culprits;
    this.#channelLimit = channelLimit;
  }

  override closeSoon(): void {
    this.#channelLimit.channels = Infinity;
    super.closeSoon();
  }
}
