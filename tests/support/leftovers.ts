import { deepEqual } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import { type BrokerState, brokerState } from "./broker_state.ts";
import type { BrokerControl } from "./control.ts";

/** Waits until the broker holds what it held before. A connection stays open for a moment after its last use. */
export async function untilAsBefore(control: BrokerControl, before: BrokerState): Promise<void> {
  let now: BrokerState | undefined;
  const isClean = async () => {
    now = await brokerState(control);
    return JSON.stringify(now) === JSON.stringify(before);
  };
  await until(isClean, 20_000, 50).catch(() => deepEqual(now, before));
  await pause(50);
}
