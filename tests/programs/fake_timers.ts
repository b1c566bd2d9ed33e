/**
 * Replaces the runtime's timers by timers that never fire, as fake timers of tests do, before or after the library is
 * loaded. It then loops over a memory channel until a real timer has fired a few times, for 20 s at most.
 */
import process from "node:process";
import { send } from "../support/child_side.ts";

const { setTimeout: realSetTimeout } = globalThis;

function fake(): void {
  const never = () => 0 as never;
  Object.assign(globalThis, { setTimeout: never, setInterval: never, setImmediate: never });
  Object.assign(globalThis, { queueMicrotask: never });
}

const isBefore = process.argv[2] === "before";
if (isBefore) fake();
const { Channel } = await import("../../mod.ts");
if (!isBefore) fake();

const ch = new Channel<number>({ connection: "memory:" });
const enough = 5;
let turns = 0;
const turned = () => realSetTimeout(() => ++turns < enough && turned(), 1);
turned();
for (const end = performance.now() + 20_000; turns < enough && performance.now() < end;) {
  await ch.put(1);
  await ch.get();
}
send(turns >= enough);
process.exit();
