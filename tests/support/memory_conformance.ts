import { MemoryTransport } from "../../src/transports/memory/transport.ts";
import { testTransport } from "../conformance.ts";
import { allStats } from "../conformance/fixture.ts";
import { linkOptions, rawOn } from "./link.ts";

/** Declares the conformance suite for `memory:`. */
export function testMemory(): void {
  const transport = new MemoryTransport("memory:conformance");
  testTransport("memory", {
    features: transport.features,
    tells: allStats,
    connection: () => transport,
    elsewhere: () => "memory:conformance.elsewhere",
    async raw(name) {
      return rawOn(await transport.open(name, linkOptions));
    },
    async exists(name) {
      const link = await transport.open(name, { ...linkOptions, create: false })
        .catch(() => undefined);
      await link?.close();
      return link !== undefined;
    },
    waiting: (name) => Promise.resolve(Math.min(transport.claimsAt(name), 1)),
  });
}
