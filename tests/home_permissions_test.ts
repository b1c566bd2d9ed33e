// Homes and their peers need no permission of Deno but that for their addresses.

import { deepEqual } from "node:assert/strict";
import { startChild } from "./support/child.ts";
import { freePorts } from "./support/net.ts";

Deno.test("a home and its peers need only --allow-net for its host and port", async () => {
  const [port] = await freePorts(1);
  await using child = startChild(new URL("programs/home_permitted.ts", import.meta.url), {
    args: [String(port)],
    runtimeArgs: ["--no-prompt", `--allow-net=127.0.0.1:${port}`],
  });
  deepEqual(await child.next(), [7, 7, 7, 7]);
  deepEqual(await child.exited, { code: 0, signal: null });
});
