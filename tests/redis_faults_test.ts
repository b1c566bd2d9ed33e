// Each fault occurs in each state, all states at the same time, on a Redis of its own. With FAULT_TABLE=FILE the outcomes are
// written to a file.
import { redisFaults } from "./faults/redis_faults.ts";
import { RedisFaultServer } from "./faults/redis_server.ts";
import { Failure, runFault } from "./faults/run_fault.ts";
import { Table } from "./faults/table.ts";
import { startRedis } from "./support/redis.ts";

const table = new Table();
Deno.test.afterAll(() => table.write());

for (const fault of redisFaults) {
  Deno.test(`redis: when ${fault.title}, operations continue as far as possible`, async (t) => {
    await using redis = await startRedis({ conf: ["appendfsync always"] });
    for (const [state, outcome] of await runFault(fault, new RedisFaultServer(redis))) {
      const isFailure = outcome instanceof Failure;
      const text = isFailure ? `FAILED: ${outcome.reason}` : outcome;
      table.add(`redis: ${fault.title}`, state, text);
      await t.step(state, () => {
        if (isFailure) throw outcome.reason;
      });
    }
  });
}
