import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../../mod.ts";
import { bound } from "./cell.ts";
import { atEachStep, cutEach, type Fault, swallow } from "./fault.ts";
import { command, type RedisFaultServer } from "./redis_server.ts";

/** The faults of a Redis with an append-only file. */
export const redisFaults: readonly Fault<RedisFaultServer>[] = [
  {
    title: "the server is restarted",
    inject: ({ redis }) => redis.restart(),
  },
  {
    title: "the server is killed and started again",
    inject: async ({ redis }) => {
      await redis.crash();
      await redis.start();
    },
  },
  {
    title: "the server is unreachable for longer than retryTimeout",
    meaning: { isOutage: true },
    retryTimeout: 1000,
    inject: async ({ redis }) => {
      await redis.crash();
      await pause(2500);
      await redis.start();
    },
  },
  {
    title: "the server is suspended for longer than two heartbeats",
    inject: async ({ redis }) => {
      redis.suspend();
      await pause(4500);
      redis.resume();
    },
  },
  {
    title: "the connection is cut in the middle of a command",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "to"),
  },
  {
    title: "the connection is cut in the middle of a reply",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "from"),
  },
  {
    title: "the connection is cut, and again at each step of reconnecting",
    hasProxy: true,
    inject: (_, cells) => atEachStep(cells, [1, 2, 4, 6]),
  },
  {
    title: "the network drops everything",
    hasProxy: true,
    inject: (_, cells) => swallow(cells),
  },
  {
    title: "an operator closes the connections",
    inject: async (server) => void await command(server, "CLIENT", "KILL", "TYPE", "normal"),
  },
  {
    title: "an operator closes the connections that subscribe",
    inject: async (server) => void await command(server, "CLIENT", "KILL", "TYPE", "pubsub"),
  },
  {
    title: "an operator drops the scripts",
    inject: async (server) => void await command(server, "SCRIPT", "FLUSH"),
  },
  {
    title: "another client deletes the channels",
    meaning: { isDeletion: true },
    inject: async ({ uri }, cells) => {
      for (const name of cells.flatMap(({ names }) => names)) {
        const channel = new Channel({ name, connection: uri });
        await channel.delete({ timeout: bound });
        await channel.close();
      }
    },
  },
];
