// No failure is silent: a rejection of a public operation that the caller does not handle surfaces as an unhandled
// rejection, and no other does.
import { deepEqual, match, notEqual, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { startRedis } from "./support/redis.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";

const RUNTIMES: RuntimeName[] = ["deno", "bun", "node"];

const redis = await startRedis();
redis.unref();

for (const name of RUNTIMES) {
  Deno.test(`every rejection that the caller does not handle surfaces, and no other, on ${name}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "channelts-unhandled-"));
    try {
      await using child = startChild(new URL("programs/unhandled.ts", import.meta.url), {
        args: [join(folder, "test.db"), redis.uri],
        runtime: await findRuntime(name),
      });
      const { surfaced, strays } = await child.next(30_000) as {
        surfaced: Record<string, number>;
        strays: string[];
      };
      deepEqual(strays, [], "internal promises were rejected");
      const titles = Object.keys(surfaced);
      ok(titles.length > 200);
      deepEqual(titles.filter((title) => surfaced[title] === 0), [], "these surfaced nowhere");
      deepEqual(titles.filter((title) => surfaced[title]! > 1), [], "these surfaced twice");
      deepEqual(await within(child.exited), { code: 0, signal: null });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  Deno.test(`a program with an unawaited put that fails ends with an error, on ${name}`, async () => {
    await using child = startChild(new URL("programs/unawaited.ts", import.meta.url), {
      runtime: await findRuntime(name),
    });
    const { code } = await within(child.exited);
    notEqual(code, 0);
    match(child.stderr, /ChannelConnectionError: .*cannot connect to/);
  });
}
