// Processes on hosts of their own that put and receive all the time, and what can be said of all that they have done.

import assert from "node:assert/strict";
import process from "node:process";
import { until } from "../conformance/fixture.ts";
import { type Child, startChild } from "./child.ts";
import type { Host } from "./namespaces.ts";

/** What a process does: one put after the other in each channel, and one receive after the other. */
export interface Work {
  readonly name: string;
  readonly channels: readonly string[];
  readonly isQuorum: boolean;
  readonly retryTimeout: number;
}

/** What a process has done. */
export interface WorkReport {
  readonly confirmed: readonly string[];
  readonly received: readonly string[];
  /** How often each error has occurred. */
  readonly errors: Readonly<Record<string, number>>;
  readonly log: readonly string[];
  /** The longest time that a put took, in ms. */
  readonly longest: number;
}

const program = new URL("../redis/worker.ts", import.meta.url);

/** A process that puts and receives on a host. */
export class Worker implements AsyncDisposable {
  readonly #child: Child;
  readonly #work: Work;

  private constructor(child: Child, work: Work) {
    this.#child = child;
    this.#work = work;
  }

  static async start(host: Host, uri: string, work: Work): Promise<Worker> {
    const [executable, ...args] = host.on([process.execPath, "run", "-A", "--frozen"]);
    const runtime = { name: "deno", title: "Deno", command: [executable!, ...args] } as const;
    const child = startChild(program, { args: [uri, JSON.stringify(work)], runtime });
    assert.equal(await child.next(60_000), "ready");
    return new Worker(child, work);
  }

  async report(): Promise<WorkReport> {
    this.#child.send("report");
    return await this.#child.next(60_000) as WorkReport;
  }

  /** Resolves when some more puts were confirmed in each channel. */
  async untilMore(count: number): Promise<void> {
    const { channels } = this.#work;
    const before = perChannel(await this.report());
    await until(
      async () => {
        const now = perChannel(await this.report());
        return channels.every((name) => (now.get(name) ?? 0) >= (before.get(name) ?? 0) + count);
      },
      60_000,
      100,
    );
  }

  /** Puts no more. Resolves when all puts have an outcome. */
  async stop(): Promise<void> {
    this.#child.send("stop");
    assert.equal(await this.#child.next(60_000), "stopped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Returns how many puts were confirmed in each channel. A value is the name of its process, its channel, and a number. */
function perChannel({ confirmed }: WorkReport): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of confirmed) {
    const channel = value.split(" ")[1]!;
    counts.set(channel, (counts.get(channel) ?? 0) + 1);
  }
  return counts;
}

/** Returns the confirmed values that no process has received. */
export function lostOf(reports: readonly WorkReport[]): string[] {
  const received = new Set(reports.flatMap((report) => report.received));
  return reports.flatMap(({ confirmed }) => confirmed.filter((value) => !received.has(value)));
}

/** Returns the values that one process has received twice. */
export function twiceOf({ received }: WorkReport): string[] {
  return received.filter((value, i) => received.indexOf(value) !== i);
}
