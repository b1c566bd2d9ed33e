import { deepEqual } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { openSockets, until } from "../conformance/scene.ts";
import { type BrokerState, brokerState } from "./broker_state.ts";
import type { BrokerControl } from "./control.ts";

/** Waits until a broker holds what it did before: a connection rests a moment after its last use. */
export async function untilAsBefore(control: BrokerControl, before: BrokerState): Promise<void> {
  let now: BrokerState | undefined;
  const isClean = async () => {
    now = await brokerState(control);
    return JSON.stringify(now) === JSON.stringify(before);
  };
  await until(isClean, 5000, 50).catch(() => deepEqual(now, before));
  await pause(50);
}

/** Waits until the connections of this process have ended: they rest a moment after their last use. */
export async function untilAtRest(): Promise<void> {
  await pause(60);
  await until(() => openSockets() === 0, 1000).catch(() => {}); // told by Deno
}
