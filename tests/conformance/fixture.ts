// Invariant: after a test, nothing of it is left: no channel, no handle, no connection at the broker, no unhandled
// rejection.

import assert from "node:assert/strict";
import process from "node:process";
import {
  Channel,
  type ChannelOptions,
  type ChannelStats,
  type ConnectionOption,
  type Features,
} from "../../mod.ts";
import type { Message } from "../../mod.ts";
import { test, type TestOptions } from "../support/test.ts";

/** Describes a transport to the suite. */
export interface Setup {
  readonly features: Features;
  /** The reason why the cases that measure time do not run; absent if they run. */
  readonly untimed?: string;
  /** The members of `ch.stats()` besides `depth`; absent if there is none. A channel without capacity has no `capacity`. */
  readonly tells?: readonly (keyof ChannelStats)[];
  /** Which cases of the suite run here; absent if all do. */
  readonly share?: Share | undefined;
  /** The connection `n` of this process; 0 is the default one. */
  connection(n: number): ConnectionOption;
  /** Another broker of the same kind, or another address of the same broker, that this process may use. */
  elsewhere(): ConnectionOption;
  /** Opens the channel of this name without the library; it is created if it is missing. */
  raw(name: string): Promise<Raw>;
  /** Reports whether a channel of this name exists. */
  exists(name: string): Promise<boolean>;
  /** Returns how many connections, in all processes, are waiting to get from the channel; 0 if it does not exist. */
  waiting(name: string): Promise<number>;
  /** Returns what the broker holds; absent if the broker cannot be queried. */
  state?(): Promise<State>;
}

/** Every case whose number, divided by `of`, leaves the remainder `part`. */
export interface Share {
  readonly part: number;
  readonly of: number;
}

/** The share of the cases that this runtime runs of a transport; those of the three runtimes are all cases. */
export function shareOfRuntime(): Share | undefined {
  return shareOf(
    process.versions.deno !== undefined ? 2 : process.versions.bun !== undefined ? 0 : 1,
    3,
  );
}

/** A share of the cases, or all of them unless the harness runs all files on all runtimes. */
export function shareOf(part: number, of: number): Share | undefined {
  return process.env.TEST_SHARE === "yes" ? { part, of } : undefined;
}

/** A channel accessed without the library. */
export interface Raw extends AsyncDisposable {
  put(message: Message): Promise<void>;
  /** Removes the oldest message and returns it. */
  get(): Promise<Message | undefined>;
  /** Announces an event, with a content type if the transport has content types. */
  announce(event: Uint8Array, contentType?: string): Promise<void>;
}

/** What a broker holds. */
export interface State {
  readonly connections: number;
  readonly channels: number;
  readonly consumers: number;
  readonly queues: string[];
  readonly exchanges: string[];
}

/** Declares tests. A `shared` test runs only on a transport whose channels are shared by several connections. */
export interface Suite {
  readonly label: string;
  readonly features: Features;
  /** As in {@linkcode Setup}. */
  readonly tells: readonly (keyof ChannelStats)[];
  /** The `skip` of a test that queries what a broker holds. */
  readonly noState: string | false;
  test(title: string, body: (fixture: Fixture) => Promise<void>, options?: TestOptions): void;
  shared(title: string, body: (fixture: Fixture) => Promise<void>, options?: TestOptions): void;
}

/**
 * Declares tests with this setup.
 *
 * @param share the tests of this suite that run; without it, all do
 */
export function suite(label: string, setup: Setup, share?: Share): Suite {
  let count = 0;
  const declare: Suite["test"] = (title, body, options = {}) => {
    const { timed, ...others } = options;
    const isElsewhere = share !== undefined && count++ % share.of !== share.part;
    const leftOut = isElsewhere
      ? `${label}: the case runs on another runtime or pipe`
      : timed !== undefined && setup.untimed;
    test(
      `${label}: ${title}`,
      leftOut ? { ...others, skip: options.skip || leftOut } : options,
      () => run(setup, body),
    );
  };
  const skip = !setup.features.shared && `${label}: is not shared by connections`;
  return {
    label,
    features: setup.features,
    tells: setup.tells ?? [],
    noState: setup.state === undefined && `${label}: what the broker holds cannot be queried`,
    test: declare,
    shared: (title, body, options = {}) =>
      declare(title, body, { ...options, skip: skip || (options.skip ?? false) }),
  };
}

/** What the broker held before the first test. A test leaves nothing, so it is the same before each other test. */
const initial = new WeakMap<Setup, State>();

async function run(setup: Setup, body: (fixture: Fixture) => Promise<void>): Promise<void> {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  const before = initial.get(setup) ?? await setup.state?.();
  if (before !== undefined) initial.set(setup, before);
  const sockets = openSockets();
  const fixture = new Fixture(setup);
  try {
    await within(body(fixture), 60_000);
  } finally {
    await fixture.clear();
    // The leak check below counts connections, so it waits until idle ones have closed.
    const isChecked = before !== undefined || process.versions.deno !== undefined;
    if (isChecked) await connectionsRest(sockets).catch(() => {}); // it may take longer on a busy machine
    process.off("unhandledRejection", onUnhandled);
  }
  assert.deepEqual(unhandled, [], "a rejection was not handled");
  if (before !== undefined) await noMoreThan(before, fixture);
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((type) => type === "TCPSocketWrap").length;
}

/**
 * Resolves when no more than `sockets` connections are open. A connection stays open for a moment after its last use.
 */
export async function connectionsRest(sockets = 0): Promise<void> {
  // Only Deno reports sockets that keep no process alive.
  if (process.versions.deno === undefined) return await pause(30);
  await until(() => openSockets() <= sockets);
  await pause(1);
}

/** Returns what is there now and was not there before; undefined if that is nothing. */
export function excess(now: State, before: State): State | undefined {
  const queues = now.queues.filter((name) => !before.queues.includes(name));
  const exchanges = now.exchanges.filter((name) => !before.exchanges.includes(name));
  const [connections, channels, consumers] = (["connections", "channels", "consumers"] as const)
    .map((what) => Math.max(0, now[what] - before[what])) as [number, number, number];
  const isNone = connections + channels + consumers + queues.length + exchanges.length === 0;
  return isNone ? undefined : { connections, channels, consumers, queues, exchanges };
}

async function noMoreThan(before: State, fixture: Fixture): Promise<void> {
  let left: State | undefined;
  const isClean = async () => {
    left = excess(await fixture.setup.state!(), before);
    if (left === undefined) return true;
    await fixture.clear(); // an operation that was cancelled early may have created a channel after all
    return false;
  };
  // Clearing uses connections too, which close a moment later.
  await until(isClean, 20_000, 30).catch(() =>
    assert.fail(`left at the broker: ${JSON.stringify(left)}`)
  );
}

/** What one test works with. It is cleared after the test. */
export class Fixture {
  readonly setup: Setup;
  readonly #names = new Set<string>();
  readonly #handles = new Set<AsyncDisposable>();
  readonly #run = Math.random().toString(36).slice(2, 8);

  constructor(setup: Setup) {
    this.setup = setup;
  }

  /** Returns a name that no other test uses. Its channel is deleted after the test. */
  name(): string {
    const name = `conformance ${this.#run} ${this.#names.size}`;
    this.#names.add(name);
    return name;
  }

  /** Returns a handle on connection `n`, by default on a new named channel. */
  channel<T>(name: string = this.name(), n = 0, options: ChannelOptions = {}): Channel<T> {
    return this.own(new Channel<T>({ ...options, name, connection: this.setup.connection(n) }));
  }

  /** Returns a handle on a new anonymous channel. */
  anonymous<T>(n = 0, options: ChannelOptions = {}): Channel<T> {
    return this.own(new Channel<T>({ ...options, connection: this.setup.connection(n) }));
  }

  /** Resolves when this many connections are waiting to get from an empty channel. */
  async untilWaiting({ name }: { readonly name: string }, connections = 1): Promise<void> {
    // Each query may open a connection.
    await until(async () => await this.setup.waiting(name) === connections, 20_000, 20);
  }

  /** Disposes of a handle after the test, for example one that arrived in a value. */
  own<C extends AsyncDisposable>(channel: C): C {
    this.#handles.add(channel);
    return channel;
  }

  async clear(): Promise<void> {
    await within(Promise.all([...this.#handles].map((handle) => handle[Symbol.asyncDispose]())));
    const names = [...this.#names].map(async (name) => {
      if (!await this.setup.exists(name)) return;
      await using channel = new Channel({ name, connection: this.setup.connection(0) });
      await channel.delete({ timeout: 20_000 });
    });
    await within(Promise.all(names));
  }
}

/** Resolves as `promise` does, and rejects after `ms` milliseconds. */
export async function within<T>(promise: Promise<T>, ms = 20_000): Promise<T> {
  const here = new Error(`it took more than ${ms} ms`);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => timer = setTimeout(() => reject(here), ms));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `condition` holds, and rejects after `ms` milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  ms = 20_000,
  every = 5,
): Promise<void> {
  const here = new Error(`the condition did not hold within ${ms} ms: ${condition}`);
  const deadline = performance.now() + ms;
  while (!await condition()) {
    if (performance.now() > deadline) throw here;
    await pause(every);
  }
}

/** Lets time pass. To wait for a condition, use {@linkcode until}. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Returns the error that `promise` rejects with, and asserts that it is a `Class` with these fields. */
export async function rejection<E extends Error>(
  promise: Promise<unknown>,
  // deno-lint-ignore no-explicit-any -- any class of errors
  Class: new (...args: any[]) => E,
  fields: Partial<E> = {},
): Promise<E> {
  let error: unknown;
  try {
    const value = await within(promise);
    assert.fail(`it resolved with ${String(value)}`);
  } catch (reason) {
    error = reason;
  }
  if (!(error instanceof Class)) throw error;
  assert.equal(error.name, Class === DOMException as unknown ? error.name : Class.name);
  for (const [key, value] of Object.entries(fields)) {
    assert.deepEqual(error[key as keyof E], value, `${key} of ${error}`);
  }
  return error;
}

/** Gets `count` values one after the other, with a timeout of `ms` milliseconds each. */
export async function getAll<T>(channel: Channel<T>, count: number, ms = 20_000): Promise<T[]> {
  const values: T[] = [];
  while (values.length < count) values.push(await channel.get({ timeout: ms }));
  return values;
}

/** Returns `count` consecutive numbers: 0, 1, 2 … */
export function numbers(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Returns a random integer from 0 up to but not including `limit`. */
export function random(limit: number): number {
  return Math.floor(Math.random() * limit);
}

/** The members of `ch.stats()` of an engine that can tell all. */
export const allStats: readonly (keyof ChannelStats)[] = [
  "loans",
  "consumers",
  "delayed",
  "capacity",
  "closed",
];

/** The members of `ch.stats()` that RabbitMQ tells. */
export const brokerStats: readonly (keyof ChannelStats)[] = ["consumers", "closed"];
