// A settled operation leaves nothing, whatever its outcome: memory is flat over thousands of rounds, and handles are
// collected together with the values that they were to put.
import { deepEqual, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { numbers, until } from "./conformance/fixture.ts";
import { censusOf, startHome } from "./homes/home_process.ts";
import { Channel } from "../mod.ts";
import { startChild } from "./support/child.ts";
import { noLocalBroker } from "./support/conditions.ts";
import { startRedis } from "./support/redis.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";
import { test } from "./support/test.ts";

const RUNTIMES: RuntimeName[] = ["deno", "bun", "node"];
const broker = process.env.BROKER;
if (!broker) throw new Error("set BROKER to a broker's URI, or run `deno task test`");

/** The bytes that a round may leave: less than the smallest object that a list would keep. */
const MOST = 24;

/** The patterns that involve the transport. The rest is in the core and measured with `memory:`. */
const ofTransports =
  "^(get that is aborted|get that times out|put that is aborted|receive and release" +
  "|select, one of|select that times out|broadcasts|loop over|request that is aborted|a handle that)";

interface Measured {
  title: string;
  bytes?: number;
  made?: number;
  kept?: number;
}

async function measure(runtime: RuntimeName, ...args: string[]): Promise<Measured[]> {
  await using child = startChild(new URL("programs/leaks.ts", import.meta.url), {
    args: [args[0]!, args[1]!, String(MOST), ...args.slice(2)],
    runtime: await findRuntime(runtime),
  });
  const all: Measured[] = [];
  for (let next; (next = await child.next(60_000)) !== "over";) all.push(next as Measured);
  return all;
}

function checkFlat(runtime: RuntimeName, all: Measured[], least: number): void {
  ok(all.length >= least, `${all.length} shapes were measured`);
  // Bun's engine also keeps objects to which a number on its stack looks like a pointer. A leak would keep all objects.
  const share = runtime === "bun" ? 0.25 : 0;
  const leaks = all.filter(({ bytes = 0, made = 0, kept = 0 }) =>
    bytes > MOST || kept > share * made
  );
  deepEqual(leaks, []);
}

/**
 * Which runtime measures what. The core is measured on each engine, and on Node with a transport; each transport where an
 * engine or a module of a runtime differs: one with V8, and Bun for the file and the broker. `LEAKS=all` measures
 * everything on each.
 */
const measured: Record<string, readonly RuntimeName[]> = {
  memory: ["deno", "bun"],
  sqlite: ["deno", "bun"],
  zmq: ["deno"],
  amqp: ["bun", "node"],
  redis: ["bun"],
  "lost amqp": ["deno"],
  "lost zmq": ["node"],
};

/** Declares a test for each of the runtimes on which `LEAKS=all` measures. */
function onEach(
  what: string,
  title: (runtime: RuntimeName) => string,
  body: (runtime: RuntimeName) => Promise<void>,
  runtimes = RUNTIMES,
  skip: string | false = false,
): void {
  for (const runtime of runtimes) {
    const isMeasured = process.env.LEAKS === "all" || measured[what]!.includes(runtime);
    const reason = !isMeasured && "another runtime measures this, or all do with LEAKS=all";
    test(title(runtime), { skip: skip || reason }, () => body(runtime));
  }
}

onEach(
  "memory",
  (runtime) => `memory: no operation leaves anything, whatever its outcome, on ${runtime}`,
  async (runtime) => checkFlat(runtime, await measure(runtime, "memory:", "300"), 45),
);

onEach(
  "sqlite",
  (runtime) => `sqlite: no operation leaves anything on ${runtime}`,
  async (runtime) => {
    const folder = mkdtempSync(join(tmpdir(), "channelts-leaks-"));
    try {
      const connection = `sqlite:${join(folder, "test.db")}`;
      const rounds = runtime === "bun" ? "300" : "100"; // on Bun, few rounds would hide a leak in what may stay
      checkFlat(runtime, await measure(runtime, connection, rounds, ofTransports), 15);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

onEach("zmq", (runtime) => `zmq: no operation leaves anything on ${runtime}`, async (runtime) => {
  await using home = await startHome();
  checkFlat(runtime, await measure(runtime, home.addresses[0]!, "100", ofTransports), 15);
});

onEach("amqp", (runtime) => `amqp: no operation leaves anything on ${runtime}`, async (runtime) => {
  checkFlat(runtime, await measure(runtime, broker, "100", ofTransports), 15);
});

onEach(
  "redis",
  (runtime) => `redis: no operation leaves anything on ${runtime}`,
  async (runtime) => {
    await using redis = await startRedis();
    checkFlat(runtime, await measure(runtime, redis.uri, "100", ofTransports), 15);
  },
);

onEach(
  "lost amqp",
  (runtime) => `amqp: no operation whose connection is lost leaves anything on ${runtime}`,
  async (runtime) => checkFlat(runtime, await measure(runtime, broker, "1", "^lost"), 26),
  ["deno", "node"],
  noLocalBroker,
);

onEach(
  "lost zmq",
  (runtime) => `zmq: no operation whose connection is lost leaves anything on ${runtime}`,
  async (runtime) => {
    await using home = await startHome();
    checkFlat(runtime, await measure(runtime, home.addresses[0]!, "1", "^lost"), 26);
  },
  ["node"],
);

/** What peers do at a home, once. What the home remembers of a peer that has left is tested in home_attacks_test.ts. */
const rounds: Record<string, (uri: string, ch: Channel<unknown>) => Promise<unknown>> = {
  "a put and a get": async (_, ch) => {
    await ch.put({ text: "x".repeat(100) });
    await ch.get();
  },
  "a get that times out": (_, ch) => ch.get({ timeout: 1 }).catch(() => {}),
  "a value that is released": async (_, ch) => {
    await ch.put(1);
    (await ch.receive()).release();
    await ch.get();
  },
  "an anonymous channel": async (uri) => {
    await using ch = new Channel<number>({ connection: uri });
    await ch.put(1);
  },
  "a full channel": async (uri) => {
    await using ch = new Channel<number>({ connection: uri, capacity: 1 });
    await ch.put(1);
    await ch.put(2, { timeout: 1 }).catch(() => {});
  },
};

for (const [title, round] of Object.entries(rounds)) {
  Deno.test(`a home keeps nothing of ${title}`, async () => {
    await using home = await startHome();
    const uri = home.addresses[0]!;
    const ch = new Channel<unknown>({ name: "kept", connection: uri });
    await ch.depth();
    const some = 1000;
    const heap = async () => {
      const { heapUsed, external } = await home.ask({ ask: "memory" }) as NodeJS.MemoryUsage;
      return heapUsed + external;
    };
    const rounds = async () => {
      for (let i = 0; i < some; i += 20) {
        await Promise.all(numbers(20).map(() => round(uri, ch)));
      }
    };
    await rounds();
    let least = Infinity;
    let before = await heap();
    // Code is compiled and caches are filled only once, but a leak grows in every round.
    for (let i = 0; i < 10 && least > MOST; i++) {
      await rounds();
      const after = await heap();
      least = Math.min(least, Math.max(0, after - before - 32_768) / some);
      before = after;
    }
    await ch.delete();
    await ch.close();
    ok(least <= MOST, `each time, ${least} bytes stay in the home`);
    await until(async () => { // a channel that is deleted closes its link without waiting for the home
      const { loans, links } = await censusOf(home);
      return loans + links === 0;
    });
  });
}
