/** A thread of `homes_threads.ts`: puts or gets as it is told, through its port or in a file. */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { Channel, fromPort } from "../home.ts";

/** What a thread is told to do. */
export interface Order {
  readonly act: "put" | "get";
  readonly name: string;
  readonly count: number;
  /** How many operations are pending at a time. */
  readonly width: number;
}

/** Puts numbers. */
export async function put(ch: Channel<number>, count: number, width: number): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < count) await ch.put(next++);
  }));
}

/** Gets numbers. */
export async function get(ch: Channel<number>, count: number, width: number): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: width }, async () => {
    while (left-- > 0) await ch.get();
  }));
}

if (!isMainThread && parentPort) {
  const { place } = workerData as { place: string | MessagePort };
  const connection = typeof place === "string" ? place : fromPort(place);
  let ch: Channel<number> | undefined;
  parentPort.on("message", async ({ act, name, count, width }: Order) => {
    if (ch?.name !== name) {
      await ch?.close();
      ch = new Channel({ name, connection });
      await ch.depth(); // attaches
    }
    await (act === "put" ? put : get)(ch, count, width);
    parentPort!.postMessage("done");
  });
}
