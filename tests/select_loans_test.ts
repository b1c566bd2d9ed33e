// A select has one loan for each case at most, however often it asks.
import { deepEqual, equal } from "node:assert/strict";
import { Channel, select, trySelect } from "../mod.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import type { Link, LinkOptions } from "../src/transports/transport.ts";
import { until, within } from "./conformance/fixture.ts";

/** An engine whose answers to `tryTake` arrive when the test says, as those of a broker do. */
class Late extends MemoryTransport {
  /** Call to let an answer arrive, one for each question. */
  readonly answers: (() => void)[] = [];

  override async open(name: string, options: LinkOptions): Promise<Link> {
    const link = await super.open(name, options);
    const tryTake = link.tryTake.bind(link);
    link.tryTake = async (counted) => {
      const loan = await tryTake(counted);
      await new Promise<void>((resolve) => this.answers.push(resolve));
      return loan;
    };
    return link;
  }
}

Deno.test("select: a case that is asked twice, because the chosen one was not ready, keeps one of two values", async () => {
  const slow = new Late("memory:slow");
  const late = new Late("memory:late");
  await using silent = new Channel<number>({ connection: slow });
  await using values = new Channel<number>({ connection: late });
  await using out = new Channel<number>({ connection: "memory:", capacity: 1 });
  await out.put(0);
  for (const value of [1, 2]) await values.put(value);
  await silent.depth();
  const { random } = Math;
  Math.random = () => 0.999; // the cases stay in this order
  const selecting = trySelect([silent, values, out.putCase(9)], { timeout: 20_000 });
  Math.random = random;
  // No answer arrives in time, so the put is chosen. It finds a full channel, and all are asked again.
  await until(() => late.answers.length === 2 && slow.answers.length === 2);
  for (const answer of late.answers) answer();
  deepEqual(await within(selecting), { key: 1, value: 1, closed: false });
  for (const answer of slow.answers) answer();
  equal(await values.depth(), 1);
  equal((await values.stats()).loans, 0);
});

Deno.test("select: a put that finds a full channel at once does not let the others be asked twice", async () => {
  const asked: unknown[] = [];
  class Counting extends MemoryTransport {
    override async open(name: string, options: LinkOptions): Promise<Link> {
      const link = await super.open(name, options);
      const take = link.take.bind(link);
      link.take = (claim) => {
        asked.push(claim);
        take(claim);
      };
      return link;
    }
  }
  await using values = new Channel<number>({ connection: new Counting("memory:counting") });
  await using out = new Channel<number>({ connection: "memory:", capacity: 1 });
  await out.put(0);
  await values.depth();
  const { random } = Math;
  Math.random = () => 0.999; // the cases stay in this order
  const selecting = select([out.putCase(9), values], { timeout: 20_000 });
  Math.random = random;
  equal(asked.length, 1);
  await values.put(1);
  deepEqual(await within(selecting), { key: 1, value: 1, closed: false });
});
