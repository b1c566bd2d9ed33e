// The arithmetic of a channel of capacity 0 for every small state; see rendezvousRoom.
import assert from "node:assert/strict";
import { checkRendezvous, rendezvousRoom } from "../src/transports/sqlite/link/room.ts";
import { numbers } from "./conformance/fixture.ts";

/** The state before a transaction puts messages. */
interface Case {
  /** How many other sessions are waiting. */
  readonly others: number;
  /** This session's own waiter: none, one in the file, or one that was given a message. */
  readonly own: "none" | "waiting" | "given";
  readonly consumers: number;
  readonly held: number;
  readonly limit: number;
  readonly depth: number;
}

function* cases(): Generator<Case> {
  for (const others of numbers(5)) {
    for (const own of ["none", "waiting", "given"] as const) {
      for (const consumers of numbers(5)) {
        for (const held of numbers(5)) {
          for (const limit of numbers(3, 1)) {
            for (const depth of numbers(5)) {
              const hasWaiters = others > 0 || own === "waiting";
              // schema.ts states the invariant of the depth. A session without consumers stops waiting first.
              if (depth > 0 && hasWaiters || own !== "none" && consumers === 0) continue;
              yield { others, own, consumers, held, limit, depth };
            }
          }
        }
      }
    }
  }
}

function waitersOf({ others, own }: Case): number {
  return others + (own === "waiting" ? 1 : 0);
}

/** Returns what happens to `count` messages: how many go to no waiter, and how many the link takes. */
function put(one: Case, count: number): { readonly left: number; readonly taken: number } {
  const { own, consumers, held, limit, depth } = one;
  const waiters = waitersOf(one);
  const left = Math.max(count - waiters, 0);
  const isGiven = own === "given" || own === "waiting" && count >= waiters;
  const need = Math.min(consumers - held - (isGiven ? 1 : 0), limit);
  return { left, taken: Math.min(Math.max(need, 0), depth + left) };
}

Deno.test("sqlite: a channel of capacity 0 takes as many messages as there are consumers for", () => {
  let [kept, refused] = [0, 0];
  for (const one of cases()) {
    const { own, consumers, held, limit, depth } = one;
    const isWaiting = own !== "none";
    const waiters = waitersOf(one);
    const state = { waiters, isWaiting, depth, held, limit, consumers: () => consumers };
    const available = rendezvousRoom(state)();
    for (let n = 1; n <= available; n++) {
      const { left, taken } = put(one, n);
      checkRendezvous(state, left, taken);
      assert.ok(left === 0 || taken === depth + left, JSON.stringify({ ...one, n }));
      kept++;
    }
    // If this link needs messages and may take all of them, one more message would have to wait.
    if (available < 0 || consumers <= held || consumers - held > limit) continue;
    const { left, taken } = put(one, available + 1);
    assert.ok(taken < depth + left, JSON.stringify({ ...one, available }));
    assert.throws(() => checkRendezvous(state, left, taken), /^Error: capacity 0: /);
    refused++;
  }
  assert.ok(kept > 1000 && refused > 100, `${kept} and ${refused} cases`);
});
