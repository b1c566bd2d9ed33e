import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import { withRaw } from "../support/raw.ts";
import * as at from "./broker.ts";
import type { BrokerServer } from "./broker_server.ts";
import { atEachStep, cutEach, type Fault, swallow } from "./fault.ts";

export const faults: readonly Fault<BrokerServer>[] = [
  {
    title: "the broker is restarted",
    isLikeAnother: true,
    inject: ({ broker }) => broker.restart(),
  },
  {
    title: "the broker is killed and started again",
    inject: async ({ broker }) => {
      await broker.crash();
      await broker.restart();
    },
  },
  {
    title: "the broker is unreachable for longer than retryTimeout",
    isLikeAnother: true,
    meaning: { isOutage: true },
    retryTimeout: 1000,
    inject: async ({ broker }) => {
      await broker.crash();
      await pause(2500);
      await broker.restart();
    },
  },
  {
    title: "the broker is suspended for longer than two heartbeats",
    inject: async ({ broker }) => {
      broker.suspend();
      await pause(4500);
      broker.resume();
    },
  },
  {
    title: "the connection is cut in the middle of a frame to the broker",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "to"),
  },
  {
    title: "the connection is cut in the middle of a frame from the broker",
    hasProxy: true,
    inject: (_, cells) => cutEach(cells, "from"),
  },
  {
    title: "the connection is cut, and again at each step of reconnecting",
    hasProxy: true,
    inject: (_, cells) => atEachStep(cells, [2, 4, 6, 8, 10, 12]),
  },
  {
    title: "the network drops everything",
    hasProxy: true,
    inject: (_, cells) => swallow(cells),
  },
  {
    title: "an operator closes the connections",
    inject: ({ broker }) => at.closeConnections(broker),
  },
  {
    title: "an operator closes the shared connection",
    isShared: true,
    inject: ({ broker }) => at.closeConnections(broker),
  },
  {
    title: "the broker closes each AMQP channel but no connection",
    inject: ({ broker }) => at.closeAmqpChannels(broker),
  },
  {
    title: "the broker closes each AMQP channel of a shared connection",
    isShared: true,
    inject: ({ broker }) => at.closeAmqpChannels(broker),
  },
  {
    title: "another client deletes the queue",
    meaning: { isDeletion: true },
    inject: ({ broker }, cells) =>
      withRaw(broker.uri, async (channel) => {
        for (const name of cells.flatMap(({ names }) => names)) await channel.queueDelete(name);
      }),
  },
  {
    title: "the broker blocks puts for longer than retryTimeout by a memory alarm",
    retryTimeout: 1000,
    inject: async ({ broker }) => {
      await at.setMemoryAlarm(broker, true);
      await pause(2500);
      await at.setMemoryAlarm(broker, false);
    },
  },
  {
    title: "a delivery is held for longer than the broker's ack timeout",
    isQuorum: true, // the only queues for which RabbitMQ 4.3 has this timeout
    prepare: ({ broker }) => at.setAckTimeout(broker, 3000, 250),
    inject: async ({ broker }) => {
      await until(() => at.hasTimedOut(broker), 20_000, 50);
      await at.setAckTimeout(broker, ...at.defaultAckTimeout);
    },
    tidy: ({ broker }) => at.setAckTimeout(broker, ...at.defaultAckTimeout),
  },
];
