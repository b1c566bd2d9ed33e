import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import type { PrivateBroker } from "../support/broker.ts";
import type { Proxy } from "../support/proxy.ts";
import { withRaw } from "../support/raw.ts";
import * as at from "./broker.ts";
import type { Cell, Meaning } from "./cell.ts";

/** A fault that is injected. */
export interface Fault {
  readonly title: string;
  readonly meaning?: Meaning;
  /** In milliseconds, if not much longer than the fault. */
  readonly retryTimeout?: number;
  /** Whether connections go through a proxy that can be cut. */
  readonly hasProxy?: boolean;
  /** Whether all states are on one connection. */
  readonly isShared?: boolean;
  /** Whether channels are quorum queues. */
  readonly isQuorum?: boolean;
  /** Runs before anything is connected. */
  prepare?(broker: PrivateBroker): Promise<void>;
  /** Injects the fault. Resolves when the broker works again. */
  inject(broker: PrivateBroker, cells: readonly Cell[]): Promise<void>;
  /** Undoes `prepare`. */
  tidy?(broker: PrivateBroker): Promise<void>;
}

export const faults: readonly Fault[] = [
  {
    title: "the broker is restarted",
    inject: (broker) => broker.restart(),
  },
  {
    title: "the broker is killed and started again",
    inject: async (broker) => {
      await broker.crash();
      await broker.restart();
    },
  },
  {
    title: "the broker is unreachable for longer than retryTimeout",
    meaning: { isOutage: true },
    retryTimeout: 1000,
    inject: async (broker) => {
      await broker.crash();
      await pause(2500);
      await broker.restart();
    },
  },
  {
    title: "the broker is suspended for longer than two heartbeats",
    inject: async (broker) => {
      broker.suspend();
      await pause(4500);
      broker.resume();
    },
  },
  {
    title: "the connection is cut in the middle of a frame to the broker",
    hasProxy: true,
    inject: (_, cells) =>
      each(cells, async (proxy) => {
        for (const n of [1, 2, 5]) await cutInFrame(proxy, "to", n);
      }),
  },
  {
    title: "the connection is cut in the middle of a frame from the broker",
    hasProxy: true,
    inject: (_, cells) =>
      each(cells, async (proxy) => {
        for (const n of [1, 2, 5]) await cutInFrame(proxy, "from", n);
      }),
  },
  {
    title: "the connection is cut, and again at each step of reconnecting",
    hasProxy: true,
    inject: (_, cells) =>
      each(cells, async (proxy) => {
        for (const n of [2, 4, 6, 8, 10, 12]) {
          proxy.cutEachIn("from", n);
          proxy.cut();
          const { opened } = proxy;
          await until(() => proxy.opened > opened && proxy.connections === 0);
        }
        proxy.cutEachIn("from", undefined);
      }),
  },
  {
    title: "the network drops everything",
    hasProxy: true,
    inject: (_, cells) =>
      each(cells, async (proxy) => {
        proxy.dropAll();
        await until(() => proxy.abandoned > 0); // after two heartbeats
        proxy.recover();
      }),
  },
  {
    title: "an operator closes the connections",
    inject: (broker) => at.closeConnections(broker),
  },
  {
    title: "an operator closes the shared connection",
    isShared: true,
    inject: (broker) => at.closeConnections(broker),
  },
  {
    title: "the broker closes each AMQP channel but no connection",
    inject: (broker) => at.closeAmqpChannels(broker),
  },
  {
    title: "the broker closes each AMQP channel of a shared connection",
    isShared: true,
    inject: (broker) => at.closeAmqpChannels(broker),
  },
  {
    title: "another client deletes the queue",
    meaning: { isDeletion: true },
    inject: (broker, cells) =>
      withRaw(broker.uri, async (channel) => {
        for (const name of cells.flatMap(({ names }) => names)) await channel.queueDelete(name);
      }),
  },
  {
    title: "the broker blocks puts for longer than retryTimeout by a memory alarm",
    retryTimeout: 1000,
    inject: async (broker) => {
      await at.setMemoryAlarm(broker, true);
      await pause(2500);
      await at.setMemoryAlarm(broker, false);
    },
  },
  {
    title: "a delivery is held for longer than the broker's ack timeout",
    isQuorum: true, // the only queues for which RabbitMQ 4.3 has this timeout
    prepare: (broker) => at.setAckTimeout(broker, 500, 250),
    inject: (broker) => until(() => at.hasTimedOut(broker), 20_000, 50),
    tidy: (broker) => at.setAckTimeout(broker, ...at.defaultAckTimeout),
  },
];

async function each(cells: readonly Cell[], act: (proxy: Proxy) => Promise<void>) {
  await Promise.all(cells.map(({ proxy }) => act(proxy!)));
}

/** Cuts an open connection as soon as there is one. */
async function cutInFrame(proxy: Proxy, direction: "to" | "from", n: number): Promise<void> {
  await until(() => proxy.connections > 0);
  await proxy.cutInFrame(direction, n);
}
