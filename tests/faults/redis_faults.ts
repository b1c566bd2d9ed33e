import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../../mod.ts";
import { until } from "../conformance/fixture.ts";
import { withAdmin } from "../support/redis_setup.ts";
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
  {
    title: "an operator deletes everything (FLUSHALL)",
    meaning: { isDeletion: true },
    inject: async (server) => void await command(server, "FLUSHALL"),
  },
  {
    title: "the server is killed, and then loads its data for seconds",
    // Each command of the append-only file takes the server 3 ms.
    prepare: async (server) => {
      await command(server, "CONFIG", "SET", "key-load-delay", "3000");
      await command(server, "CONFIG", "SET", "loading-process-events-interval-bytes", "1024");
      await command(server, "CONFIG", "REWRITE");
    },
    inject: async (server) => {
      await server.redis.crash();
      await server.redis.start();
      await until(async () => {
        const info = String(await command(server, "INFO", "persistence"));
        return /^loading:0/m.test(info);
      }, bound);
    },
  },
  {
    title: "another client's script keeps the server busy for longer than two heartbeats",
    inject: async (server) => {
      await command(server, "CONFIG", "SET", "busy-reply-threshold", "100");
      const isOver = command(server, "EVAL", "while true do end", "0").catch(String);
      await pause(3500);
      await command(server, "SCRIPT", "KILL");
      await isOver;
    },
  },
  {
    title: "the server cannot write a snapshot for a time, and refuses to write (MISCONF)",
    inject: async (server) => {
      const file = join(server.redis.directory, "dump.rdb");
      mkdirSync(file); // so that it cannot be the snapshot
      await command(server, "CONFIG", "SET", "save", "3600 1000000");
      const isSaved = async (status: "ok" | "err") => {
        await command(server, "BGSAVE").catch(() => {}); // it may run
        const last = new RegExp(`^rdb_last_bgsave_status:${status}`, "m");
        await until(async () => last.test(String(await command(server, "INFO", "persistence"))));
      };
      await isSaved("err");
      await pause(1500);
      rmdirSync(file);
      await isSaved("ok");
    },
  },
  {
    title: "an operator pauses all clients for longer than two heartbeats",
    inject: async (server) => {
      await command(server, "CLIENT", "PAUSE", "3500", "ALL");
      await pause(3500);
    },
  },
  {
    title: "an operator pauses writing",
    inject: async (server) => {
      await command(server, "CLIENT", "PAUSE", "2500", "WRITE");
      await pause(2500);
    },
  },
  {
    title: "the server closes all connections and takes no clients for a time",
    inject: (server) =>
      withAdmin(server.uri, async (admin) => {
        await admin.sendCommand(["CONFIG", "SET", "maxclients", "1"]);
        await admin.sendCommand(["CLIENT", "KILL", "SKIPME", "yes"]);
        await pause(1500);
        await admin.sendCommand(["CONFIG", "SET", "maxclients", "10000"]);
      }),
  },
];
