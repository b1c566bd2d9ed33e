/** The scripts that run servers for tests end them, however their owner ends. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pause, until, within } from "./conformance/fixture.ts";
import { onWindows } from "./support/conditions.ts";
import { cleanEnv, Supervisor } from "./support/supervisor.ts";
import { test } from "./support/test.ts";

/** The arguments of each script after the folder; its server is a program that only waits. */
const SCRIPTS = {
  "supervise_redis.sh": (server: string) => [server, "a file", ""],
  "supervise_node.sh": (server: string) => [server, ""],
};

/** What happens to the folder before the owner ends. */
const ENDS = {
  "at once": () => Promise.resolve(),
  "when the server runs": (pids: string) => until(() => existsSync(pids)),
  "when the folder is gone": async (pids: string, folder: string) => {
    await until(() => existsSync(pids));
    rmSync(folder, { recursive: true });
  },
};

/** Reports whether a process runs. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

for (const [script, argsOf] of Object.entries(SCRIPTS)) {
  for (const [when, happens] of Object.entries(ENDS)) {
    test(`supervisor: ${script} ends its server if its owner ends ${when}`, {
      skip: onWindows,
    }, async () => {
      const place = mkdtempSync(join(tmpdir(), "channelts-supervisor-"));
      const [server, pids] = [join(place, "server"), join(place, "pids")];
      writeFileSync(server, `#!/bin/sh\necho $$ > '${pids}'\nexec sleep 600\n`, { mode: 0o755 });
      try {
        for (let delay = 0; delay < 10; delay += when === "at once" ? 1 : 10) {
          rmSync(pids, { force: true });
          const folder = mkdtempSync(join(place, "server-"));
          const args = [folder, ...argsOf(server)];
          const supervisor = new Supervisor(script, args, cleanEnv(), () => {});
          supervisor.send("start");
          await happens(pids, folder);
          await pause(delay);
          await within(supervisor.close());
          const pid = existsSync(pids) ? Number(readFileSync(pids, "utf8")) : 0;
          if (pid !== 0) await until(() => !isAlive(pid)); // it was killed with the script, whose end came first
          assert.equal(existsSync(folder), false);
        }
      } finally {
        rmSync(place, { recursive: true });
      }
    });
  }
}
