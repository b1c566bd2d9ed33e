import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import * as at from "../faults/broker.ts";
import type { BrokerServer } from "../faults/broker_server.ts";
import type { HomeServer } from "../faults/home_server.ts";
import { command, type RedisFaultServer } from "../faults/redis_server.ts";
import type { Server } from "../faults/server.ts";
import type { Actor, Actors } from "./actors.ts";

/** Returns a generator of reproducible pseudo-random numbers from 0 up to but not including 1 (mulberry32). */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a mishap happens to. */
export interface MishapContext<S extends Server> {
  readonly server: S;
  readonly actors: Actors;
  readonly random: () => number;
}

/** The mishaps of a soak test. Each resolves when it is over. */
export type Mishaps<S extends Server> = Record<
  string,
  (context: MishapContext<S>) => Promise<void>
>;

/** What happens to connections and processes. */
const common: Mishaps<Server> = {
  "producers are cut in the middle of frames": ({ actors, random }) =>
    all(actors.producers, ({ proxy }) => proxy.cutInFrame("to", 1 + Math.floor(random() * 40))),
  "consumers are cut in the middle of frames": ({ actors, random }) =>
    all(actors.consumers, ({ proxy }) => proxy.cutInFrame("from", 1 + Math.floor(random() * 40))),
  "responses to producers are cut": ({ actors, random }) =>
    all(actors.producers, ({ proxy }) => proxy.cutInFrame("from", 1 + Math.floor(random() * 10))),
  "acks of consumers are cut": ({ actors, random }) =>
    all(actors.consumers, ({ proxy }) => proxy.cutInFrame("to", 1 + Math.floor(random() * 10))),
  "the network drops everything": ({ actors }) =>
    all([...actors.producers, ...actors.consumers], async ({ proxy }) => {
      const { abandoned } = proxy;
      proxy.dropAll();
      await until(() => proxy.abandoned > abandoned);
      proxy.recover();
    }),
  "all connections are cut repeatedly": ({ actors, random }) =>
    all([...actors.producers, ...actors.consumers], async ({ proxy }) => {
      for (let i = 0; i < 3; i++) {
        const { opened } = proxy;
        proxy.cutEachIn("from", 1 + Math.floor(random() * 15));
        proxy.cut();
        await until(() => proxy.opened > opened && proxy.connections === 0);
      }
      proxy.cutEachIn("from", undefined);
    }),
  "a consumer is killed": async ({ actors, random }) => {
    const receiving = actors.consumers.filter(({ title }) => title.includes("receive"));
    await actors.kill(receiving[Math.floor(random() * receiving.length)]!);
    await actors.addConsumer("receive");
  },
};

/** The mishaps of a RabbitMQ. */
export const brokerMishaps: Mishaps<BrokerServer> = {
  "the broker is restarted": ({ server: { broker } }) => broker.restart(),
  "the broker is killed": async ({ server: { broker } }) => {
    await broker.crash();
    await broker.restart();
  },
  "the broker is suspended": async ({ server: { broker } }) => {
    broker.suspend();
    await pause(3500);
    broker.resume();
  },
  "the broker is suspended for a moment": async ({ server: { broker } }) => {
    broker.suspend();
    await pause(700);
    broker.resume();
  },
  "an operator closes all connections": ({ server: { broker } }) => at.closeConnections(broker),
  "the broker closes all AMQP channels": ({ server: { broker } }) => at.closeAmqpChannels(broker),
  "the broker has a memory alarm": async ({ server: { broker } }) => {
    await at.setMemoryAlarm(broker, true);
    await pause(1500);
    await at.setMemoryAlarm(broker, false);
  },
  ...common,
};

/** The mishaps of a home. */
export const homeMishaps: Mishaps<HomeServer> = {
  "the home is restarted": ({ server: { home } }) => home.restart(),
  "the home is killed": async ({ server: { home } }) => {
    await home.crash();
    await home.start();
  },
  "the home is suspended": async ({ server: { home } }) => {
    home.suspend();
    await pause(3500);
    home.resume();
  },
  "the home is suspended for a moment": async ({ server: { home } }) => {
    home.suspend();
    await pause(700);
    home.resume();
  },
  ...common,
};

/** The mishaps of a Redis with an append-only file. */
export const redisMishaps: Mishaps<RedisFaultServer> = {
  "the server is restarted": ({ server: { redis } }) => redis.restart(),
  "the server is killed": async ({ server: { redis } }) => {
    await redis.crash();
    await redis.start();
  },
  "the server is suspended": async ({ server: { redis } }) => {
    redis.suspend();
    await pause(3500);
    redis.resume();
  },
  "the server is suspended for a moment": async ({ server: { redis } }) => {
    redis.suspend();
    await pause(700);
    redis.resume();
  },
  "an operator closes all connections": async ({ server }) =>
    void await command(server, "CLIENT", "KILL", "SKIPME", "yes"),
  "an operator drops the scripts": async ({ server }) =>
    void await command(server, "SCRIPT", "FLUSH"),
  "an operator pauses all clients": async ({ server }) => {
    await command(server, "CLIENT", "PAUSE", "1500", "ALL");
    await pause(1500);
  },
  ...common,
};

async function all(actors: readonly Actor[], act: (actor: Actor) => Promise<void>) {
  await Promise.all(actors.map(act));
}
