import { deepEqual } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { type State, until } from "../conformance/fixture.ts";
import { brokerState } from "./broker_state.ts";
import type { BrokerControl } from "./control.ts";

/** Waits until the broker holds what it held before. A connection stays open for a moment after its last use. */
export async function untilAsBefore(control: BrokerControl, before: State): Promise<void> {
  await untilStateIs(async () => (await brokerState(control))!, before);
}

/** Waits until a server holds what it held before. */
export async function untilStateIs(state: () => Promise<State>, before: State): Promise<void> {
  let now: State | undefined;
  const isClean = async () => {
    now = await state();
    return JSON.stringify(now) === JSON.stringify(before);
  };
  await until(isClean, 20_000, 50).catch(() => deepEqual(now, before));
  await pause(50);
}
