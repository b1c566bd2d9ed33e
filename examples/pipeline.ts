// deno-lint-ignore-file no-console
//
// A pipeline over processes: one reads lines, two split them into words, and the first process counts the words.
//
//   deno run -A examples/pipeline.ts [FILE]           without FILE, this file
//   bun pipeline.ts [FILE]
//   node pipeline.ts [FILE]                           Node 22.18 or newer
//
//   … pipeline.ts --connection amqp://localhost       over RabbitMQ; the default is a SQLite file of this machine
//   … pipeline.ts --connection redis://localhost      over Redis
//
//   read ──lines──▶ split ──words──▶ count
//                   split
//
// Each stage knows its channels only by name. A stage closes its output when its input is closed and all its values are
// passed on, as in Go: `closeAll({ drain: true })` is Go's `close`. The channels have a capacity, so a slow stage holds
// up the stages before it, and no channel grows without limit.
//
// A `split` process may be killed with `kill -9` at any time. It accepts a line after it has put the line's words, so the
// other one does the lines that it had on loan. Then the words of a line may arrive twice; they carry the number of
// their line, by which `count` drops the second copy. If `read` is killed, the pipeline fails. If the first process is
// killed, the others end: they wait for room for a minute at most. The channels vanish 30 minutes after their last use.

import { Channel } from "@channelts/channel";
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";

interface Line {
  readonly number: number;
  readonly text: string;
}

interface Words {
  readonly line: number;
  readonly words: readonly string[];
}

/** Milliseconds for which a stage waits for room in its output. */
const PATIENCE = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" } },
});
// Channels without the option `connection` use this variable, also in the stages, which inherit it.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

/** The stages: each takes values from one channel and puts its own into another. */
const stages = {
  async read(file: string, out: string): Promise<void> {
    const lines = new Channel<Line>(out);
    let number = 0;
    for (const text of readFileSync(file, "utf8").split("\n")) {
      await lines.put({ number: ++number, text }, { timeout: PATIENCE });
    }
    await lines.closeAll({ drain: true });
  },

  /** Two processes run this stage, so neither may close the output: the other may not have finished. */
  async split(from: string, out: string): Promise<void> {
    const lines = new Channel<Line>(from);
    const words = new Channel<Words>(out);
    let count = 0;
    for await (const delivery of lines.deliveries()) {
      if (count++ === 0) console.log(`process ${process.pid} splits lines`);
      const { number, text } = delivery.value;
      const found = text.toLowerCase().match(/\p{L}+/gu) ?? [];
      await words.put({ line: number, words: found }, { timeout: PATIENCE });
      delivery.accept();
    }
    console.log(`process ${process.pid} has split ${count} lines`);
  },
};

const [stage, from, to] = positionals;
if (stage !== undefined && stage in stages && from !== undefined && to !== undefined) {
  await stages[stage as keyof typeof stages](from, to);
} else {
  await run(stage ?? process.argv[1]!);
}

async function run(file: string): Promise<void> {
  const lines = new Channel<Line>({ capacity: 50 });
  const words = new Channel<Words>({ capacity: 50 });
  // The channels must exist with their capacity before the stages attach to them.
  await Promise.all([lines.depth(), words.depth()]);
  const split = async () => {
    const ends = [1, 2].map(() => start("split", lines.name, words.name));
    if (!(await Promise.all(ends)).includes("done")) throw new Error("both split processes died");
    await words.closeAll({ drain: true });
  };
  try {
    const [totals] = await Promise.all([count(words), start("read", file, lines.name), split()]);
    const sorted = [...totals].sort(([, a], [, b]) => b - a);
    for (const [word, n] of sorted.slice(0, 5)) console.log(`${String(n).padStart(5)} ${word}`);
    console.log(`${sorted.length} different words`);
  } finally {
    await Promise.all([lines.delete(), words.delete()]); // after a failure, this also ends the stages
  }
}

async function count(words: Channel<Words>): Promise<Map<string, number>> {
  const totals = new Map<string, number>();
  const counted = new Set<number>();
  for await (const { line, words: found } of words) {
    if (counted.has(line)) continue;
    counted.add(line);
    for (const word of found) totals.set(word, (totals.get(word) ?? 0) + 1);
  }
  return totals;
}

/** Runs a stage in a process of its own, until it has done its work or was killed. */
function start(stage: keyof typeof stages, from: string, to: string): Promise<"done" | "killed"> {
  const child = fork(process.argv[1]!, [stage, from, to]);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (code === 0) resolve("done");
      else if (stage === "split" && signal !== null) resolve("killed");
      else reject(new Error(`${stage} has ended with ${signal ?? `code ${code}`}`));
    });
  });
}
