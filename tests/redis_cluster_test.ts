// The conformance suite on a cluster of three nodes: in the gate, a part of it.
import { testTransport } from "./conformance.ts";
import { shareOf } from "./conformance/fixture.ts";
import { startRedisCluster } from "./support/redis_cluster.ts";
import { redisSetup } from "./support/redis_setup.ts";

const cluster = await startRedisCluster();
cluster.unref();
const share = shareOf(0, 12);
const primaries = cluster.nodes.map(({ server }) => server.uri);
testTransport("redis cluster", {
  ...redisSetup(cluster.uri, primaries),
  ...share === undefined ? {} : { share, untimed: "redis_test.ts measures time, on one node" },
});
