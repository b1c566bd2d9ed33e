import process from "node:process";
import type { PrivateBroker } from "../support/broker.ts";
import { brokerState } from "../support/broker_state.ts";
import { untilAsBefore } from "../support/leftovers.ts";
import { Cell } from "./cell.ts";
import type { Fault } from "./faults.ts";
import { states } from "./states.ts";

/** Why a state failed during a fault. */
export class Failure {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

/** Injects a fault into every state at the same time. Resolves with the outcome of each. */
export async function runFault(
  fault: Fault,
  broker: PrivateBroker,
): Promise<Map<string, string | Failure>> {
  const outcomes = new Map<string, string | Failure>();
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  const before = (await brokerState(broker.control))!;
  await fault.prepare?.(broker);
  const options = {
    broker,
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
    await fault.inject(broker, cells);
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
    await fault.tidy?.(broker);
    process.off("unhandledRejection", onUnhandled);
  }
  outcomes.set(
    "afterwards",
    await untilAsBefore(broker.control, before).then(
      () => "nothing is left",
      (e) => new Failure(e),
    ),
  );
  if (unhandled.length > 0) outcomes.set("unhandled rejections", new Failure(unhandled[0]));
  return outcomes;
}
