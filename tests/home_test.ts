// A home as the transport of its own channels.

import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { Home } from "../src/home/home.ts";
import { testTransport } from "./conformance.ts";
import { linkOptions, rawOn } from "./support/link.ts";

const engine = new MemoryTransport("memory:served");
const home = new Home({ connection: engine });
/** Serves the same channels, as another connection of this process. */
const others = [1, 2, 3].map(() => new Home({ connection: home }));

testTransport("home", {
  features: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
  connection: (n) => [home, ...others][n]!,
  elsewhere: () => "memory:elsewhere",
  async raw(name) {
    return rawOn(await home.open(name, linkOptions));
  },
  async exists(name) {
    const link = await home.open(name, { ...linkOptions, create: false }).catch(() => undefined);
    await link?.close();
    return link !== undefined;
  },
  waiting: (name) => Promise.resolve(engine.claimsAt(name)),
});
