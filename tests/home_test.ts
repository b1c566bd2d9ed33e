// A home as the transport of its own channels.

import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { Home } from "../src/home/home.ts";
import { testTransport } from "./conformance.ts";
import { linkOptions, rawOn } from "./support/link.ts";

const engine = new MemoryTransport("memory:served");
const home = new Home({ connection: engine });

testTransport("home", {
  features: { ...engine.features, shared: false }, // the processes of the suite have no listener to connect to
  connection: () => home,
  elsewhere: () => "memory:elsewhere",
  async raw(name) {
    return rawOn(await home.open(name, linkOptions));
  },
  async exists(name) {
    const link = await home.open(name, { ...linkOptions, create: false }).catch(() => undefined);
    await link?.close();
    return link !== undefined;
  },
  waiting: (name) => Promise.resolve(Math.min(engine.claimsAt(name), 1)),
});
