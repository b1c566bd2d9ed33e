import { until } from "../conformance/fixture.ts";
import type { Direction, Proxy } from "../support/proxy.ts";
import type { Cell, Meaning } from "./cell.ts";
import type { Server } from "./server.ts";

/** A fault that is injected. */
export interface Fault<S extends Server> {
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
  /** Whether it restarts the server as another fault does, so that it happens to one version only. */
  readonly isLikeAnother?: boolean;
  /** Runs before anything is connected. */
  prepare?(server: S): Promise<void>;
  /** Injects the fault. Resolves when the server works again. */
  inject(server: S, cells: readonly Cell[]): Promise<void>;
  /** Undoes `prepare`. */
  tidy?(server: S): Promise<void>;
}

/** Cuts the connection of each cell within the next frame, then within later ones. */
export async function cutEach(cells: readonly Cell[], direction: Direction): Promise<void> {
  await each(cells, async (proxy) => {
    for (const n of [1, 2, 5]) await cutInFrame(proxy, direction, n);
  });
}

/** Cuts the connection of each cell, and each new one within one of the first frames. */
export async function atEachStep(cells: readonly Cell[], frames: readonly number[]): Promise<void> {
  await each(cells, async (proxy) => {
    for (const n of frames) {
      proxy.cutEachIn("from", n);
      proxy.cut();
      const { opened } = proxy;
      await until(() => proxy.opened > opened && proxy.connections === 0);
    }
    proxy.cutEachIn("from", undefined);
  });
}

/** Drops everything until each cell has given its connection up. */
export async function swallow(cells: readonly Cell[]): Promise<void> {
  await each(cells, async (proxy) => {
    proxy.dropAll();
    await until(() => proxy.abandoned > 0); // after two heartbeats
    proxy.recover();
  });
}

async function each(cells: readonly Cell[], act: (proxy: Proxy) => Promise<void>) {
  await Promise.all(cells.map(({ proxy }) => act(proxy!)));
}

/** Cuts an open connection as soon as there is one. */
async function cutInFrame(proxy: Proxy, direction: Direction, n: number): Promise<void> {
  await until(() => proxy.connections > 0);
  await proxy.cutInFrame(direction, n);
}
