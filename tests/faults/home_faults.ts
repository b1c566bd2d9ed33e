import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../../mod.ts";
import { bound } from "./cell.ts";
import { atEachStep, cutEach, type Fault, swallow } from "./fault.ts";
import type { HomeServer } from "./home_server.ts";

/** The faults of a home on a file. */
export const homeFaults: readonly Fault<HomeServer>[] = [
  {
    title: "the home is restarted",
    inject: ({ home }) => home.restart(),
  },
  {
    title: "the home is killed and started again",
    meaning: { mayRepeat: true },
    inject: async ({ home }) => {
      await home.crash();
      await home.start();
    },
  },
  {
    title: "the home is unreachable for longer than retryTimeout",
    meaning: { isOutage: true, mayRepeat: true },
    retryTimeout: 3000, // a home on a file finds only after a moment that its predecessor is dead
    inject: async ({ home }) => {
      await home.crash();
      await pause(5000);
      await home.start();
    },
  },
  {
    title: "the home is suspended for longer than the silence that peers accept",
    inject: async ({ home }) => {
      home.suspend();
      await pause(4500);
      home.resume();
    },
  },
  {
    title: "the connection is cut in the middle of a frame to the home",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "to"),
  },
  {
    title: "the connection is cut in the middle of a frame from the home",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "from"),
  },
  {
    title: "the connection is cut, and again at each step of reconnecting",
    hasProxy: true,
    inject: (_, cells) => atEachStep(cells, [1, 2, 3, 4]),
  },
  {
    title: "the network drops everything",
    hasProxy: true,
    inject: (_, cells) => swallow(cells),
  },
  {
    title: "another peer deletes the channels",
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

/** The faults that differ for a home on memory: it loses the values with its process. */
export const memoryFaults: readonly Fault<HomeServer>[] = homeFaults.slice(0, 3)
  .map((fault) => ({ ...fault, meaning: { ...fault.meaning, isLoss: true } }));

/** The faults that differ over WebSocket: those of the connection. A cut within each direction takes half a minute. */
export const webSocketFaults: readonly Fault<HomeServer>[] = homeFaults.filter(({ title }) =>
  /killed|suspended|at each step|drops/.test(title)
);
