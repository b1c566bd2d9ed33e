/** The order in which the harness runs the files of tests. */

import assert from "node:assert/strict";
import { type Plan, Schedule } from "./support/schedule.ts";

interface Part extends Plan {
  readonly name: string;
  readonly seconds: number;
}

const [first, newer, redis] = [{ name: "first" }, { name: "newer" }, { name: "redis" }];

function parts(source: object, count: number, options: Partial<Part>): Part[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `${(source as typeof first).name} ${i}`,
    source,
    usesBroker: false,
    waits: false,
    seconds: 10,
    ...options,
  }));
}

/** Runs parts in simulated time. Returns which parts each lane ran, and when the last ended. */
function simulate(
  all: readonly Part[],
  count: number,
  readyAt: (source: object) => number = () => 0,
): { lanes: Part[][]; end: number } {
  const lanes: Part[][] = Array.from({ length: count }, () => []);
  let now = 0;
  const schedule = new Schedule(all, count, (source) => readyAt(source) <= now);
  const free = lanes.map((_, lane) => ({ lane, at: 0 }));
  let end = 0;
  while (free.length > 0) {
    const next = free.toSorted((a, b) => a.at - b.at)[0]!;
    now = next.at;
    const part = schedule.take(next.lane);
    if (part === undefined) {
      free.splice(free.indexOf(next), 1);
      continue;
    }
    lanes[next.lane]!.push(part);
    next.at = Math.max(now, readyAt(part.source)) + part.seconds;
    end = Math.max(end, next.at);
  }
  return { lanes, end };
}

/** The sources whose brokers a lane starts, in this order. */
function brokersOf(lane: readonly Part[]): object[] {
  const used = lane.filter(({ usesBroker }) => usesBroker).map(({ source }) => source);
  return used.filter((source, i) => source !== used[i - 1]);
}

const gate = [
  ...parts(first, 8, { waits: true, seconds: 60 }),
  ...parts(first, 80, { usesBroker: true, seconds: 20 }),
  ...parts(first, 160, {}),
  ...parts(newer, 20, { usesBroker: true, seconds: 20 }),
  ...parts(redis, 5, { seconds: 40 }),
];

Deno.test("schedule: each part runs once, whatever the number of lanes", () => {
  for (let count = 1; count < 9; count++) {
    const { lanes } = simulate(gate, count, (source) => source === newer ? 100 : 0);
    assert.deepEqual(new Set(lanes.flat()), new Set(gate));
    assert.equal(lanes.flat().length, gate.length);
  }
});

Deno.test("schedule: no lane changes its broker, few have one, and none waits for long", () => {
  const { lanes, end } = simulate(gate, 5, (source) => source === newer ? 100 : 0);
  assert.deepEqual(lanes.map(brokersOf), [[], [first], [first], [newer], []]);
  const sum = gate.reduce((sum, { seconds }) => sum + seconds, 0);
  assert.ok(end <= sum / 5 + 60, `${end} s, of which ${sum / 5} s are needed`);
});

Deno.test("schedule: two of six lanes run the parts that wait, and two have no broker", () => {
  const waiting = parts(first, 20, { waits: true, seconds: 60 });
  const { lanes, end } = simulate([...waiting, ...gate], 6);
  assert.deepEqual(lanes.map(brokersOf), [[], [], [first], [first], [newer], []]);
  for (const lane of lanes.slice(0, 2)) assert.ok(lane.slice(0, 14).every(({ waits }) => waits));
  const sum = [...waiting, ...gate].reduce((sum, { seconds }) => sum + seconds, 0);
  assert.ok(end <= sum / 6 + 60, `${end} s, of which ${sum / 6} s are needed`);
});

Deno.test("schedule: parts that wait run one after the other in the first lane", () => {
  const { lanes } = simulate(gate, 4);
  assert.deepEqual(lanes[0]!.slice(0, 8), gate.slice(0, 8));
});

Deno.test("schedule: no lane starts a broker for the last few parts", () => {
  const few = [...parts(first, 6, { usesBroker: true }), ...parts(first, 20, {})];
  const { lanes } = simulate(few, 3);
  assert.deepEqual(lanes.map(brokersOf), [[], [first], []]);
});

Deno.test("schedule: parts whose source is not available yet come last", () => {
  const all = [...parts(newer, 2, { usesBroker: true }), ...parts(first, 4, {})];
  const { lanes } = simulate(all, 1, (source) => source === newer ? 1000 : 0);
  assert.deepEqual(lanes[0], [...all.slice(2), ...all.slice(0, 2)]);
});
