import { deepEqual } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { excess, type State, until } from "../conformance/fixture.ts";
import { brokerState } from "./broker_state.ts";
import type { BrokerControl } from "./control.ts";

/**
 * Waits until the broker holds no more than before. A connection stays open for a moment after its last use. What an
 * earlier test has left, such as the channel of a killed process, may expire meanwhile.
 */
export async function untilAsBefore(control: BrokerControl, before: State): Promise<void> {
  await untilNoMoreThan(async () => (await brokerState(control))!, before);
}

/** Waits until a server holds no more than before. */
export async function untilNoMoreThan(state: () => Promise<State>, before: State): Promise<void> {
  let left: State | undefined;
  const isClean = async () => {
    left = excess(await state(), before);
    return left === undefined;
  };
  await until(isClean, 20_000, 50).catch(() => deepEqual(left, undefined));
  await pause(50);
}
