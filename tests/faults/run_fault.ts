import process from "node:process";
import { untilNoMoreThan } from "../support/leftovers.ts";
import { Cell } from "./cell.ts";
import type { Fault } from "./fault.ts";
import type { Server } from "./server.ts";
import { states } from "./states.ts";

/** Why a state failed during a fault. */
export class Failure {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

/** Injects a fault into every state at the same time. Resolves with the outcome of each. */
export async function runFault<S extends Server>(
  fault: Fault<S>,
  server: S,
): Promise<Map<string, string | Failure>> {
  const outcomes = new Map<string, string | Failure>();
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  const before = await server.state();
  await fault.prepare?.(server);
  const options = {
    server,
    fault: fault.title,
    meaning: fault.meaning ?? {},
    retryTimeout: fault.retryTimeout,
    hasProxy: fault.hasProxy ?? false,
    isShared: fault.isShared ?? false,
    isQuorum: fault.isQuorum ?? false,
  };
  const cells = await Promise.all(Object.keys(states).map((title) => Cell.open(title, options)));
  try {
    const running = cells.map((cell) => states[cell.title]!(cell));
    await Promise.allSettled(running);
    await fault.inject(server, cells);
    await Promise.all(cells.map(async ({ title }, i) => {
      const end = async () => (await running[i]!).end();
      outcomes.set(title, await end().catch((error) => new Failure(error)));
    }));
  } finally {
    await Promise.all(cells.map(async (cell) => {
      const failure = await cell[Symbol.asyncDispose]().then(() => {}, (e) => new Failure(e));
      if (failure && !(outcomes.get(cell.title) instanceof Failure)) {
        outcomes.set(cell.title, failure);
      }
    }));
    await fault.tidy?.(server);
    process.off("unhandledRejection", onUnhandled);
  }
  outcomes.set(
    "afterwards",
    await untilNoMoreThan(() => server.state(), before).then(
      () => "nothing is left",
      (e) => new Failure(e),
    ),
  );
  if (unhandled.length > 0) outcomes.set("unhandled rejections", new Failure(unhandled[0]));
  return outcomes;
}
