// One file, several threads: Web Workers on Deno and Bun, node:worker_threads on Node.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Worker as NodeWorker } from "node:worker_threads";
import { Channel } from "../mod.ts";
import { numbers, pause, until, within } from "./conformance/fixture.ts";
import type { Orders, Question } from "./programs/worker_thread.ts";
import { checkFile, count, query, sqliteDirectory } from "./support/sqlite_file.ts";
import { test } from "./support/test.ts";
import { decidedOnDeno, noDeno } from "./support/conditions.ts";

const directory = sqliteDirectory();
const path = join(directory, "channels.db");
const connection = `sqlite:${path}`;
/** The files of a database that only this thread uses, including its own lock and wake-up file. */
const alone = ["bell", "db", "db-shm", "db-wal", "lock"];

/** The time in milliseconds in which a Worker starts: Deno first checks its types, which may be slow. */
const starting = 40_000;

/**
 * The time in milliseconds in which values of a Worker that ends by itself are returned. Deno's Workers have no exit
 * event.
 */
const leaving = process.versions.deno ? 2000 : 150;

/** A Worker with one task. Disposal terminates it. */
class Thread implements AsyncDisposable {
  readonly #worker: Worker | NodeWorker;
  readonly #messages: unknown[] = [];
  #error: unknown;

  constructor(name: string, task: Orders["task"]) {
    const program = new URL("programs/worker_thread.ts", import.meta.url);
    if (globalThis.Worker) {
      this.#worker = new Worker(program, { type: "module" });
      this.#worker.onmessage = ({ data }) => this.#messages.push(data);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        this.#error = event.message;
      };
    } else {
      this.#worker = new NodeWorker(program);
      this.#worker.on("message", (data) => this.#messages.push(data));
      this.#worker.on("error", (error) => this.#error = error);
    }
    this.#worker.postMessage({ connection, name, task } satisfies Orders);
  }

  /** The messages that were not yet taken. */
  get messages(): unknown[] {
    if (this.#error !== undefined) throw new Error(`the Worker failed: ${this.#error}`);
    return this.#messages;
  }

  async next(): Promise<unknown> {
    await until(() => this.messages.length > 0, starting, 1);
    return this.#messages.shift();
  }

  /** Terminates the Worker without waiting for its end. */
  terminate(): void {
    this.#worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Calls `use` with a channel, and asserts that afterwards only this thread's own files are left. */
async function withChannel<T>(use: (channel: Channel<T>, name: string) => Promise<void>) {
  const name = crypto.randomUUID();
  const channel = new Channel<T>({ name, connection });
  const witness = new Channel({ connection }); // its session cleans up after threads
  try {
    await witness.depth();
    await channel.depth();
    await use(channel, name);
    await untilAlone();
    checkFile(path);
  } finally {
    await channel.close();
    await new Channel({ name, connection }).delete();
    await witness.delete();
    await pause(60); // it becomes idle
  }
}

/** Waits until nothing of any Worker is left, in the file or beside it. */
async function untilAlone(): Promise<void> {
  const isAlone = () => count(path, "sessions") === 1 && String(kinds()) === String(alone);
  await until(isAlone).catch(() => assert.deepEqual(kinds(), alone));
  assert.equal(count(path, "sessions"), 1);
}

function kinds(): string[] {
  return readdirSync(directory).filter((file) => file.startsWith("channels.db"))
    .map((file) => file.split(".").at(-1)!).sort();
}

/** Returns how many of the directory's files this process has open, as Linux reports. */
function openFiles(): number {
  if (!existsSync("/proc/self/fd")) return 0;
  return readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(directory);
    } catch {
      return false; // the descriptor that lists them
    }
  }).length;
}

Deno.test("workers: three share a channel, each value is delivered once, and one closeAll ends their loops", async () => {
  await withChannel<number>(async (channel, name) => {
    const total = 300;
    await using a = new Thread(name, "consume");
    await using b = new Thread(name, "consume");
    await using c = new Thread(name, "consume");
    const threads = [a, b, c];
    const messages = () => threads.flatMap(({ messages }) => messages); // throws the error of a failed Worker
    const wait = () => messages().length < total && count(path, "waiters") === 3;
    await until(wait, starting);
    for (const n of numbers(9)) {
      await channel.put(n);
      await until(() => messages().length === n + 1 && wait());
    }
    for (const n of numbers(total - 9, 9)) await channel.put(n);
    await until(() => messages().length >= total);
    await channel.closeAll();
    const shares: number[][] = [];
    for (const { messages } of threads) {
      await until(() => messages.at(-1) === "the loop has ended");
      const share = messages.slice(0, -1) as number[];
      assert.deepEqual(share, share.toSorted((a, b) => a - b));
      const first = share[0]!; // all waited, so they are served in turn
      assert.deepEqual(share.slice(0, 3), [first, first + 3, first + 6]);
      shares.push(share);
    }
    assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(total));
    await untilAlone();
  });
});

Deno.test("workers: a channel that arrives in a value works in its thread", async () => {
  await withChannel<Question>(async (channel, name) => {
    await using replyTo = channel.clone<number>();
    await channel.put({ n: 12, replyTo });
    await using _thread = new Thread(name, "answer");
    assert.equal(await replyTo.get({ timeout: starting }), 144);
    await untilAlone();
  });
});

test(
  "workers: a value held by a terminated Worker is available within 2 s, and other Workers keep theirs",
  {
    timed: "the documentation promises this time",
  },
  async () => {
    await withChannel<string>(async (channel, name) => {
      await channel.put("mine");
      const mine = await channel.receive();
      await channel.put("theirs");
      await using first = new Thread(name, "hold");
      assert.deepEqual(await first.next(), ["theirs", false]);
      await using second = new Thread(name, "hold");
      await until(() => count(path, "waiters") === 1, starting);

      const start = performance.now();
      first.terminate();
      assert.deepEqual(await second.next(), ["theirs", true]);
      const took = performance.now() - start;
      assert.ok(took < 2000, `it took ${took} ms`);

      second.terminate();
      const again = await channel.receive({ timeout: 20_000 });
      assert.deepEqual([again.value, again.redelivered], ["theirs", true]);
      again.accept();
      mine.accept();
      await until(() => count(path, "messages") === 0);
    });
  },
);

test("workers: values held by a Worker that ends by itself are returned soon, in their order", {
  timed: "an orderly end is faster than the detection of a dead session",
}, async () => {
  await withChannel<number>(async (channel, name) => {
    for (const n of numbers(3)) await channel.put(n);
    await using thread = new Thread(name, "leave");
    assert.deepEqual(await thread.next(), [0, false]);
    assert.deepEqual(await thread.next(), [1, false]);
    const start = performance.now();
    const back = () =>
      query<{ n: number }>(path, "SELECT count(*) n FROM messages WHERE holder = 0");
    await until(() => back()[0]!.n === 3, 20_000, 1);
    const took = performance.now() - start;
    assert.ok(took < leaving, `it took ${took} ms`);
    for (const n of numbers(3)) {
      const delivery = await channel.receive({ timeout: 0 });
      assert.equal(delivery.value, n);
      assert.ok(delivery.redelivered || n === 2);
      delivery.accept();
    }
  });
});

Deno.test("workers: a Worker that is terminated during a put leaves the file usable", async () => {
  await withChannel<number>(async (channel, name) => {
    const other = new Channel<string>({ connection });
    for (let round = 0; round < 5; round++) {
      await using thread = new Thread(name, "flood");
      assert.equal(await thread.next(), "flooding");
      await pause(round * 3);
      thread.terminate();
      await within(other.put("a value"));
      assert.equal(await other.get({ timeout: 20_000 }), "a value");
    }
    assert.ok(await channel.depth() > 0);
    await other.delete();
  });
});

Deno.test("workers: five Workers that are terminated in turn leave no file, open or not", async () => {
  await withChannel<number>(async (channel, name) => {
    await channel.put(7);
    const before = openFiles();
    for (let round = 1; round <= 5; round++) {
      await using thread = new Thread(name, "hold");
      assert.deepEqual(await thread.next(), [7, round > 1]);
      thread.terminate();
      await untilAlone();
    }
    await until(() => openFiles() < before + 5); // less than one for each
    assert.equal(await channel.get({ timeout: 20_000 }), 7);
  });
});

const example = fileURLToPath(new URL("../examples/workers.ts", import.meta.url));

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs Deno at the project's root, with its temporary files in `TMPDIR`. With node:child_process it would have this
 * process's permissions.
 */
async function run([program, ...args]: readonly string[], TMPDIR: string): Promise<Output> {
  const { code, stdout, stderr } = await new Deno.Command(program!, {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    args,
    env: { NO_COLOR: "1", TMPDIR },
    stdin: "null",
    signal: AbortSignal.timeout(30_000),
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Asserts the output of examples/workers.ts, whichever thread did what. */
function assertTold({ code, stdout, stderr }: Output): void {
  assert.equal(stderr, "");
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^one thread: 216,816 primes in /m);
  assert.match(stdout, /^\w+ has failed: RangeError: /m);
  const rows = [...stdout.matchAll(/^(\w{3}) +(\d+) +([\d,]+)( +got stuck, was terminated)?$/gm)];
  assert.equal(rows.length, 4, stdout);
  const total = (column: number) =>
    rows.map((row) => Number(row[column]!.replace(",", ""))).reduce((a, b) => a + b);
  assert.deepEqual([total(2), total(3)], [60, 216_816]);
  const [stuck, ...others] = rows.filter((row) => row[4] !== undefined);
  assert.deepEqual(others, []);
  assert.match(stdout, /^216,816 primes: the same$/m);
  assert.match(stdout, new RegExp(`^${stuck![1]}'s job was done by (?!${stuck![1]})`, "m"));
}

// `examples/installed_examples_test.ts` runs it on Bun and Node, in a project with the package.
test("workers: the example distributes its work over threads, ends by itself and leaves no file", {
  skip: decidedOnDeno,
}, async () => {
  const temporary = mkdtempSync(join(directory, "example-"));
  assertTold(await run([process.execPath, "run", "-A", "--frozen", example], temporary));
  assert.deepEqual(readdirSync(temporary), []);
});

test("workers: on Deno the example needs exactly the permissions that it names", {
  skip: noDeno,
}, async () => {
  const line = /deno run (--.*) examples\/workers\.ts$/m.exec(readFileSync(example, "utf8"))![1]!;
  const flags = line.replaceAll("/tmp", tmpdir()).split(" ");
  const attempt = (flags: string[]) => {
    const command = [process.execPath, "run", "--frozen", "--no-prompt", ...flags, example];
    return run(command, mkdtempSync(join(directory, "permitted-")));
  };
  assertTold(await attempt(flags));
  for (const flag of flags) {
    const { code, stderr } = await attempt(flags.filter((each) => each !== flag));
    assert.notEqual(code, 0, `it works without ${flag}`);
    assert.match(stderr, new RegExp(flag.split("=")[0]!));
  }
});
