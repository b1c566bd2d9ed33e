// A home as the transport of its own channels: what depends on the transport. Peers have the suite whole.

import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { Home } from "../src/home/home.ts";
import { broadcastsTests } from "./conformance/broadcasts.ts";
import { capacityTests } from "./conformance/capacity.ts";
import { closingTests } from "./conformance/closing.ts";
import { deletingTests } from "./conformance/deleting.ts";
import { drainingTests } from "./conformance/draining.ts";
import { emptinessTests } from "./conformance/emptiness.ts";
import { suite } from "./conformance/fixture.ts";
import { gettingTests } from "./conformance/getting.ts";
import { lifetimeTests } from "./conformance/lifetime.ts";
import { puttingTests } from "./conformance/putting.ts";
import { racesTests } from "./conformance/races.ts";
import { requestTests } from "./conformance/requests.ts";
import { selectingTests } from "./conformance/selecting.ts";
import { terminationTests } from "./conformance/termination.ts";
import { linkOptions, rawOn } from "./support/link.ts";

const engine = new MemoryTransport("memory:served");
const home = new Home({ connection: engine });
const elsewhere = new Home({ connection: "memory:elsewhere" });

const tests = suite("home", {
  features: { ...engine.features, shared: false }, // the processes of the suite have no listener to connect to
  connection: () => home,
  elsewhere: () => elsewhere,
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

for (
  const declare of [
    gettingTests,
    racesTests,
    selectingTests,
    puttingTests,
    closingTests,
    terminationTests,
    drainingTests,
    capacityTests,
    emptinessTests,
    deletingTests,
    lifetimeTests,
    requestTests,
    broadcastsTests,
  ]
) declare(tests);
