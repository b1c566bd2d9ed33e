import assert from "node:assert/strict";
import type { ChannelOptions } from "../../mod.ts";
import type { Server } from "../faults/server.ts";
import type { SqliteFile } from "./sqlite_file.ts";
import { type Child, startChild } from "../support/child.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";

/** Where the processes of a soak test meet. */
export type Meeting = Server | SqliteFile;

/** A process of a soak test with its proxy to the server; a file has no proxy. */
export interface Actor {
  readonly title: string;
  readonly child: Child;
  readonly proxy: Proxy | undefined;
}

/** One delivery of a number to a consumer. */
export interface Receipt {
  readonly consumer: string;
  /** Undefined for a get, which does not report it. */
  readonly isRedelivered: boolean | undefined;
  /** When it was reported, in milliseconds. */
  readonly at: number;
}

/** The producers and consumers of one channel, and what they have reported. */
export class Actors implements AsyncDisposable {
  readonly #meeting: Meeting;
  /** The name of the channel. */
  readonly name: string;
  readonly #options: ChannelOptions;
  readonly #proxies: Proxy[] = [];
  readonly producers: Actor[] = [];
  readonly consumers: Actor[] = [];
  /** Numbers whose puts have resolved, by producer. */
  readonly resolved: Map<string, Set<number>> = new Map();
  readonly rejected: string[] = [];
  readonly received: Map<number, Receipt[]> = new Map();
  /** Errors of the processes, and unexpected exits. */
  readonly errors: string[] = [];
  readonly #ending = new Set<Child>();
  readonly #listening: Promise<void>[] = [];
  #producersStarted = 0;
  #consumersStarted = 0;

  /** @param options the options of the channel in each process */
  constructor(meeting: Meeting, name: string, options: ChannelOptions) {
    this.#meeting = meeting;
    this.#options = options;
    this.name = name;
  }

  async addProducer(): Promise<void> {
    const n = ++this.#producersStarted;
    const actor = await this.#start("producer", `producer ${n}`, String(n * 10_000_000));
    this.producers.push(actor);
    const resolved = new Set<number>();
    this.resolved.set(actor.title, resolved);
    this.#listen(actor, (message) => {
      if (message === "done") return void this.#ending.add(actor.child);
      const reported = message as { resolved?: number[]; rejected?: number; why?: string };
      for (const n of reported.resolved ?? []) resolved.add(n);
      if (reported.rejected !== undefined) {
        this.rejected.push(`${reported.rejected}: ${reported.why}`);
      }
    });
  }

  async addConsumer(how: "get" | "receive"): Promise<void> {
    const actor = await this.#start(
      "consumer",
      `consumer ${++this.#consumersStarted} (${how})`,
      how,
    );
    assert.equal(await actor.child.next(), "ready");
    this.consumers.push(actor);
    this.#listen(actor, (message) => {
      const { got, isRedelivered } = message as { got: number; isRedelivered?: boolean };
      const receipts = this.received.get(got);
      const receipt = { consumer: actor.title, isRedelivered, at: performance.now() };
      if (receipts === undefined) this.received.set(got, [receipt]);
      else receipts.push(receipt);
    });
  }

  /** Kills a process. Numbers that it reported may be reported again. */
  async kill(actor: Actor): Promise<void> {
    this.#ending.add(actor.child);
    actor.child.kill("SIGKILL");
    await actor.child.exited;
    for (const actors of [this.producers, this.consumers]) {
      if (actors.includes(actor)) actors.splice(actors.indexOf(actor), 1);
    }
  }

  /** Kills a producer, or a consumer that receives, and starts another one. */
  async replace(actor: Actor): Promise<void> {
    const isProducer = this.producers.includes(actor);
    await this.kill(actor);
    await (isProducer ? this.addProducer() : this.addConsumer("receive"));
  }

  get all(): Actor[] {
    return [...this.producers, ...this.consumers];
  }

  /**
   * The producers, and the consumers that receive: those that may be killed. The value of a killed `get` is lost if it
   * was accepted and not yet reported.
   */
  get mortals(): Actor[] {
    return this.all.filter(({ title }) => !title.includes("(get)"));
  }

  /** Stops the producers. Resolves when all their puts are settled. */
  async stopProducers(): Promise<void> {
    for (const { child } of this.producers) child.send("stop");
    await Promise.all(this.producers.map(({ child }) => child.exited));
  }

  /** Resolves when the consumers, whose channel is closed, have ended. */
  async consumersEnd(): Promise<void> {
    for (const { child } of this.consumers) this.#ending.add(child);
    await Promise.all(this.consumers.map(({ child }) => child.exited));
    await Promise.all(this.#listening);
  }

  /** Numbers whose put has resolved and that were not delivered. */
  missing(): number[] {
    const all = [...this.resolved.values()].flatMap((numbers) => [...numbers]);
    return all.filter((n) => !this.received.has(n));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const actors = this.all;
    for (const { child } of actors) this.#ending.add(child);
    await Promise.all(actors.map(({ child }) => child[Symbol.asyncDispose]()));
    await Promise.all(this.#listening);
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  }

  async #start(program: string, title: string, arg: string): Promise<Actor> {
    const meeting = this.#meeting;
    const proxy = "port" in meeting ? await startProxy(meeting.port, meeting.framing) : undefined;
    if (proxy !== undefined) this.#proxies.push(proxy);
    const connection = "port" in meeting ? meeting.uriAt(proxy!.port, title) : meeting.uri;
    const child = startChild(new URL(`../programs/soak_${program}.ts`, import.meta.url), {
      args: [connection, this.name, arg, JSON.stringify(this.#options)],
    });
    child.exited.then(({ code, signal }) => {
      if (!this.#ending.has(child)) this.errors.push(`${title} ended with ${signal ?? code}`);
      if (child.stderr) this.errors.push(`${title}: ${child.stderr}`);
    });
    return { title, child, proxy };
  }

  #listen({ child }: Actor, onMessage: (message: unknown) => void): void {
    const listen = async () => {
      for await (const message of child.lines) onMessage(message);
    };
    this.#listening.push(listen());
  }
}
