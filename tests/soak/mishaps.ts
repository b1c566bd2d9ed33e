import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import * as at from "../faults/broker.ts";
import type { BrokerServer } from "../faults/broker_server.ts";
import type { HomeServer } from "../faults/home_server.ts";
import { command, type RedisFaultServer } from "../faults/redis_server.ts";
import type { Server } from "../faults/server.ts";
import type { Proxy } from "../support/proxy.ts";
import type { Actor, Actors, Meeting } from "./actors.ts";

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
export interface MishapContext<S extends Meeting> {
  readonly server: S;
  readonly actors: Actors;
  readonly random: () => number;
}

/** The mishaps of a soak test. Each resolves when it is over. */
export type Mishaps<S extends Meeting> = Record<
  string,
  (context: MishapContext<S>) => Promise<void>
>;

/** What happens to processes. */
export const ofProcesses: Mishaps<Meeting> = {
  "a consumer is killed": ({ actors, random }) =>
    actors.replace(
      oneOf(actors.consumers.filter(({ title }) => title.includes("receive")), random),
    ),
  "a producer is killed": ({ actors, random }) => actors.replace(oneOf(actors.producers, random)),
};

/** What happens to connections and processes. */
const common: Mishaps<Server> = {
  ...ofProcesses,
  "producers are cut in the middle of frames": ({ actors, random }) =>
    proxied(actors.producers, (proxy) => proxy.cutInFrame("to", 1 + Math.floor(random() * 40))),
  "consumers are cut in the middle of frames": ({ actors, random }) =>
    proxied(actors.consumers, (proxy) => proxy.cutInFrame("from", 1 + Math.floor(random() * 40))),
  "responses to producers are cut": ({ actors, random }) =>
    proxied(actors.producers, (proxy) => proxy.cutInFrame("from", 1 + Math.floor(random() * 10))),
  "acks of consumers are cut": ({ actors, random }) =>
    proxied(actors.consumers, (proxy) => proxy.cutInFrame("to", 1 + Math.floor(random() * 10))),
  "the network drops everything": ({ actors }) =>
    proxied(actors.all, async (proxy) => {
      const { abandoned } = proxy;
      proxy.dropAll();
      await until(() => proxy.abandoned > abandoned);
      proxy.recover();
    }),
  "all connections are cut repeatedly": ({ actors, random }) =>
    proxied(actors.all, async (proxy) => {
      for (let i = 0; i < 3; i++) {
        const { opened } = proxy;
        proxy.cutEachIn("from", 1 + Math.floor(random() * 15));
        proxy.cut();
        await until(() => proxy.opened > opened && proxy.connections === 0);
      }
      proxy.cutEachIn("from", undefined);
    }),
};

/** The mishaps of a RabbitMQ. */
export const brokerMishaps: Mishaps<BrokerServer> = {
  "the broker is restarted": ({ server: { broker } }) => broker.restart(),
  "the broker is killed": async ({ server: { broker } }) => {
    await broker.crash();
    await broker.restart();
  },
  "the broker is killed as a frame passes": async (context) => {
    await passing(context);
    await context.server.broker.crash();
    await context.server.broker.restart();
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
  "the home is killed as a frame passes": async (context) => {
    await passing(context);
    await context.server.home.crash();
    await context.server.home.start();
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
  "the server is killed as a frame passes": async (context) => {
    await passing(context);
    await context.server.redis.crash();
    await context.server.redis.start();
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

/** Resolves in the middle of a frame that a server has sent or is sent, which is then cut. */
async function passing({ actors, random }: MishapContext<Server>): Promise<void> {
  const direction = random() < 0.7 ? "from" : "to";
  const n = 1 + Math.floor(random() * 20);
  await Promise.race(actors.all.map(({ proxy }) => proxy!.cutInFrame(direction, n)));
}

async function proxied(actors: readonly Actor[], act: (proxy: Proxy) => Promise<void>) {
  await Promise.all(actors.map(({ proxy }) => act(proxy!)));
}

/** A random one of the actors. */
export function oneOf(actors: readonly Actor[], random: () => number): Actor {
  return actors[Math.floor(random() * actors.length)]!;
}
