/** Measures threads that share channels: those of a home in the main thread, over ports, and those of a file. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { Channel, type ConnectionOption, Home } from "../home.ts";
import { compare, type Contender } from "./compare.ts";
import { heading, report } from "./output.ts";
import { get, type Order } from "./homes_thread.ts";

/** What two threads do: how many puts and gets are pending at a time. */
const shapes: Record<string, readonly [puts: number, gets: number, count: number]> = {
  "put, each awaited": [1, 0, 2000],
  "put and get, one at a time": [1, 1, 2000],
  "put and get, 200 and 50 at a time": [200, 50, 10_000],
};

export async function benchThreads(folder: string, rounds: number): Promise<void> {
  heading("threads");
  const home = new Home();
  const file = `sqlite:${join(folder, "threads.db")}`;
  const onPort = () => {
    const { port1, port2 } = new MessageChannel();
    home.accept(port1);
    return new Thread(port2);
  };
  const pairs: [title: string, file: [Thread, Thread?], port: [Thread, Thread?]][] = [
    ["from a thread to the main thread", [new Thread(file)], [onPort()]],
    ["from thread to thread", [new Thread(file), new Thread(file)], [onPort(), onPort()]],
  ];
  for (const [title, onFile, onHome] of pairs) {
    for (const [shape, [puts, gets, count]] of Object.entries(shapes)) {
      const contenders = [
        contender("a file", onFile, file, puts, gets),
        contender("ports", onHome, home, puts, gets),
      ];
      const full = `${title}: ${shape}`;
      report(full, await compare(contenders, { title: full, count, rounds }));
    }
    for (const thread of [...onFile, ...onHome]) await thread?.end();
  }
  await home.close();
}

/** A thread that runs `homes_thread.ts`. */
class Thread {
  readonly #worker: Worker;

  constructor(place: string | MessagePort) {
    this.#worker = new Worker(new URL("homes_thread.ts", import.meta.url), {
      workerData: { place },
      transferList: typeof place === "string" ? [] : [place as never],
    });
  }

  /** Resolves when the thread has done what the order says. */
  run(order: Order): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.once("error", reject);
      this.#worker.once("message", () => {
        this.#worker.off("error", reject);
        resolve();
      });
      this.#worker.postMessage(order);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Returns a contender of which one thread puts, and another one or the main thread gets. */
function contender(
  label: string,
  [putter, getter]: readonly [Thread, Thread?],
  connection: ConnectionOption,
  puts: number,
  gets: number,
): Contender {
  let ch: Channel<number>;
  return {
    label,
    prepare: async () => {
      ch = new Channel({ name: `bench ${crypto.randomUUID()}`, connection });
      await ch.depth();
      const attach = { name: ch.name, count: 0, width: 1 };
      await putter.run({ ...attach, act: "put" });
      await getter?.run({ ...attach, act: "get" });
    },
    run: async (count) => {
      const { name } = ch;
      await Promise.all([
        putter.run({ act: "put", name, count, width: puts }),
        gets === 0
          ? undefined
          : getter?.run({ act: "get", name, count, width: gets }) ?? get(ch, count, gets),
      ]);
    },
    check: async (count) => {
      const left = await ch.depth();
      if (left !== (gets === 0 ? count : 0)) throw new Error(`${left} values are left`);
      await ch.delete();
    },
  };
}
