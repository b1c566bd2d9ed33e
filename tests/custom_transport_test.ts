import { ArrayTransport } from "../examples/transport/array_transport.ts";
import { testTransport } from "./conformance.ts";
import { linkOptions, rawOn } from "./support/link.ts";

const transport = new ArrayTransport();
const elsewhere = Object.assign(new ArrayTransport(), { address: "array:elsewhere" });

testTransport("array", {
  features: transport.features,
  connection: () => transport,
  elsewhere: () => elsewhere,
  raw: async (name) => rawOn(await transport.open(name, linkOptions)),
  async exists(name) {
    const link = await transport.open(name, { ...linkOptions, create: false })
      .catch(() => undefined);
    await link?.close();
    return link !== undefined;
  },
  waiting: () => Promise.resolve(1),
});
