// The types of a select, verified by `deno check`.
import { after, Channel, type GetCase, type PutCase, select, trySelect } from "../mod.ts";
import assert from "node:assert/strict";

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

function holds<_ extends true>(): void {}

Deno.test("types: the key of the chosen case determines the type of its value", async () => {
  await using jobs = new Channel<{ n: number }>({ connection: "memory:types" });
  await using quit = new Channel<string>({ connection: "memory:types" });
  jobs.getCase() satisfies GetCase<{ n: number }>;
  quit.putCase("x") satisfies PutCase;
  // @ts-expect-error: the channel carries strings
  quit.getCase() satisfies GetCase<number>;
  // @ts-expect-error: it takes strings
  quit.putCase(7);

  await jobs.put({ n: 7 });
  const chosen = await select({
    jobs: jobs.getCase(),
    quit,
    out: quit.putCase("x"),
    tick: after(1000),
  });
  holds<Same<typeof chosen.key, "jobs" | "quit" | "out" | "tick">>();
  holds<Same<typeof chosen.value, { n: number } | string | Date | undefined>>();
  if (chosen.closed) {
    holds<Same<typeof chosen.value, undefined>>();
  } else {
    switch (chosen.key) {
      case "jobs":
        holds<Same<typeof chosen.value, { n: number }>>();
        break;
      case "quit":
        holds<Same<typeof chosen.value, string>>();
        break;
      case "out":
        holds<Same<typeof chosen.value, undefined>>();
        break;
      case "tick":
        holds<Same<typeof chosen.value, Date>>();
    }
  }

  // An array's keys are its indices. Those of a tuple are as precise as names.
  await jobs.put({ n: 8 });
  const first = await select([jobs, quit]);
  holds<Same<typeof first.key, 0 | 1>>();
  if (first.key === 0 && !first.closed) {
    holds<Same<typeof first.value, { n: number }>>();
    assert.ok(first.value.n === 7 || first.value.n === 8); // the first select may have chosen another case
  }
  const many: Channel<string>[] = [quit];
  const none = await trySelect(many);
  holds<Same<NonNullable<typeof none>["key"], number>>();
  holds<Same<NonNullable<typeof none>["value"], string | undefined>>();

  // A case that may be undefined is then not ready.
  const maybe = Math.random() < 2 ? undefined : quit;
  const tried = await trySelect({ maybe, jobs });
  holds<Same<NonNullable<typeof tried>["value"], string | { n: number } | undefined>>();

  // @ts-expect-error: it is not a case
  await assert.rejects(select({ wrong: 7 }));

  const got = await jobs.tryGet();
  if (got.status === "ok") holds<Same<typeof got.value, { n: number }>>();
  else holds<Same<typeof got.status, "empty" | "closed">>();
});
