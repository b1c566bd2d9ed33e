/** The examples of the program channelts on the pages for users run, and print what the pages say. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import {
  type Command,
  commandsOf,
  type Ending,
  endingsOf,
  patternOf,
  programBlocksOf,
  scriptOf,
} from "./support/pages/commands.ts";
import { userPages } from "./support/pages/pages.ts";
import { startRedis } from "./support/redis.ts";
import { test } from "./support/test.ts";
import { ROOT } from "./support/test_files.ts";
import { addVhost } from "./support/users.ts";

/** The most blocks that are shown and not run, on all pages together. */
const MOST_SHOWN = 3;

/** Milliseconds after which the commands of a page are ended. */
const LIMIT = 180_000;

const broker = process.env.BROKER ?? "amqp://localhost";
const blocks = userPages().flatMap((page) => programBlocksOf(page));

const pages = new Map<string, Command[]>();
for (const block of blocks) {
  if (block.info !== "") continue;
  pages.set(block.page, [...pages.get(block.page) ?? [], ...commandsOf(block)]);
}

/** The brokers that commands name. Each stands for a vhost of the broker of the tests. */
const brokerNames = /\bamqp:\/\/(?:localhost|\w+\.example)\b/g;

/** The Redis servers that commands name. Each stands for a private one. */
const redisNames = /\bredis:\/\/(?:localhost|\w+\.example)\b/g;

/** Returns why the commands cannot run here, or false. */
function obstacle(commands: readonly Command[]): string | false {
  const text = commands.map((command) => command.text).join("\n");
  if (process.platform === "win32") return "the commands are for a POSIX shell";
  if (/\bjq\b/.test(text) && spawnSync("jq", ["--version"]).status !== 0) {
    return "jq is not installed";
  }
  return text.match(brokerNames) !== null && noControl;
}

for (const [page, commands] of pages) {
  test(`commands: those of ${page} do what it says`, { skip: obstacle(commands) }, async (t) => {
    await using hosts = new AsyncDisposableStack();
    const places = new Map<string, { readonly uri: string }>();
    const texts = commands.map(({ text }) => text).join("\n");
    for (const [name] of texts.matchAll(brokerNames)) {
      if (places.has(name)) continue;
      places.set(name, hosts.use(await addVhost(controlFromEnv()!, broker)));
    }
    for (const [name] of texts.matchAll(redisNames)) {
      if (!places.has(name)) places.set(name, hosts.use(await startRedis()));
    }
    const place = (name: string) => places.get(name)!.uri;
    const placed = commands.map((command) => ({
      ...command,
      text: command.text.replaceAll(brokerNames, place).replaceAll(redisNames, place),
    }));
    const { endings, rest } = await run(placed);
    for (const [index, command] of commands.entries()) {
      await t.step(`line ${command.line}: ${command.text}`, () => {
        const ending = endings[index];
        ok(ending, `it did not run or did not end; the last output is:\n${rest}`);
        check(command, ending);
      });
    }
  });
}

/** Runs commands in a new folder. Whatever they leave running is ended. */
async function run(
  commands: readonly Command[],
): Promise<{ endings: readonly Ending[]; rest: string }> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-commands-"));
  try {
    const bin = join(folder, ".bin");
    mkdirSync(bin);
    const program = `#!/bin/sh\nexec '${Deno.execPath()}' run -qA '${join(ROOT, "cli.ts")}' "$@"\n`;
    writeFileSync(join(bin, "channelts"), program, { mode: 0o755 });
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      PATH: `${bin}${delimiter}${process.env.PATH}`,
    };
    for (const name of ["CHANNELTS_URI", "CHANNELTS_CONFIG"]) delete env[name];
    const child = spawn("sh", ["-c", scriptOf(commands)], {
      cwd: folder,
      env,
      detached: true, // so that all its programs are in one group
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    const end = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // all have ended
      }
    };
    const timer = setTimeout(end, LIMIT);
    await new Promise((resolve) => child.once("exit", resolve));
    clearTimeout(timer);
    const closed = new Promise((resolve) => child.once("close", resolve));
    end();
    await closed;
    return { endings: endingsOf(output), rest: output.slice(-2000) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function check({ output, code }: Command, ending: Ending): void {
  equal(ending.code, code, `exit code ${ending.code}, expected ${code}:\n${ending.output}`);
  if (output === undefined) return;
  const printed = ending.output === "" || ending.output.endsWith("\n")
    ? ending.output
    : `${ending.output}\n`;
  const expected = output.join("\n");
  match(printed, patternOf(output), `it printed:\n${printed}\nexpected:\n${expected}`);
}

Deno.test("commands: a block that is not run has a reason, and there are few", () => {
  const others = blocks.filter(({ info }) => info !== "");
  const titles = others.map(({ page, line, info }) => `${page}:${line}: sh ${info}`);
  deepEqual(
    titles.filter((title) => !/ sh shown \S/.test(title)),
    [],
    'expected "sh shown REASON"',
  );
  ok(others.length <= MOST_SHOWN, titles.join("\n"));
});

Deno.test("commands: wrong output and a wrong exit code fail", async () => {
  const text = "# for the reader\nprintf 'a\\n2 b\\n'\n# a\n# … b\n\n" +
    "echo c |\n  cat\n# d\nfalse\nexit 0\nfalse\n# exit code: 1\n";
  const commands = commandsOf({ page: "", line: 1, text });
  deepEqual(commands.map(({ line, output, code }) => [line, output, code]), [
    [2, ["a", "… b"], 0],
    [6, ["d"], 0],
    [9, undefined, 0],
    [10, undefined, 0],
    [11, undefined, 1],
  ]);
  const { endings } = await run(commands.filter(({ text }) => text !== "exit 0"));
  const rights = commands.filter(({ text }) => text !== "exit 0").map((command, index) => {
    try {
      check(command, endings[index]!);
      return true;
    } catch {
      return false;
    }
  });
  deepEqual(rights, [true, false, false, true]);
  equal((await run(commands)).endings.length, 3); // the shell has ended
});
