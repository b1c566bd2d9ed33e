// Each fault of a cluster occurs in each state, all states at the same time, on a cluster of its own: three primaries, of which
// the first has the channels, and its replica. With FAULT_TABLE=FILE the outcomes are written to a file.
import process from "node:process";
import { redisClusterFaults } from "./faults/redis_cluster_faults.ts";
import { RedisClusterServer } from "./faults/redis_cluster_server.ts";
import { Failure, runFault } from "./faults/run_fault.ts";
import { Table } from "./faults/table.ts";
import { startRedisCluster } from "./support/redis_cluster.ts";
import { test } from "./support/test.ts";

const table = new Table();
Deno.test.afterAll(() => table.write());

const skip = process.env.CLUSTER_FAULTS !== "all" &&
  "takes minutes; CLUSTER_FAULTS=all runs it, and redis_faults_test.ts has the same states";

for (const fault of redisClusterFaults) {
  test(
    `redis cluster: when ${fault.title}, operations continue as far as possible`,
    { skip },
    async (t) => {
      const conf = [
        "appendfsync always",
        `cluster-node-timeout ${fault.isImpatient === true ? 2000 : 15_000}`,
      ];
      await using cluster = await startRedisCluster({ replicas: 1, isUneven: true, conf });
      for (const [state, outcome] of await runFault(fault, new RedisClusterServer(cluster))) {
        const isFailure = outcome instanceof Failure;
        const text = isFailure ? `FAILED: ${outcome.reason}` : outcome;
        table.add(`redis cluster: ${fault.title}`, state, text);
        await t.step(state, () => {
          if (isFailure) throw outcome.reason;
        });
      }
    },
  );
}
