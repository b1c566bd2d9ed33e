// A process that puts numbered values and receives values all the time, and reports what has come of it.
// Arguments: the URI, and JSON: what it does.
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Channel, ChannelConnectionError, Connection } from "../../mod.ts";
import { messages, send } from "../support/child_side.ts";
import type { Work, WorkReport } from "../support/redis_work.ts";

const work = JSON.parse(process.argv[3]!) as Work;
const log: string[] = [];
const confirmed: string[] = [];
const received: string[] = [];
const errors = new Map<string, number>();
let longest = 0;
let isWriting = true;

const note = (text: string) => void log.push(text);
const connection = new Connection(process.argv[2]!, {
  logger: { debug: note, info: note, warn: note },
});

/** Counts an error of an operation that may be repeated. */
function failed(error: unknown): void {
  if (!(error instanceof ChannelConnectionError)) throw error;
  errors.set(error.message, (errors.get(error.message) ?? 0) + 1);
}

async function write(ch: Channel<string>): Promise<void> {
  for (let n = 1; isWriting; n++) {
    const value = `${work.name} ${ch.name} ${n}`;
    const begun = performance.now();
    await ch.put(value).then(() => confirmed.push(value), failed);
    longest = Math.max(longest, performance.now() - begun);
    await pause(20);
  }
}

async function read(ch: Channel<string>): Promise<void> {
  for (;;) {
    const delivery = await ch.receive().catch(failed);
    if (!delivery) continue;
    received.push(delivery.value);
    delivery.accept();
  }
}

const { retryTimeout } = work;
const channels = work.channels.map((name) =>
  new Channel<string>({
    name,
    connection,
    retryTimeout,
    ...work.isQuorum ? { durability: "quorum" } : {},
  })
);
const writing = Promise.all(channels.map(write));
channels.forEach(read);

send("ready");
for await (const task of messages()) {
  if (task === "stop") {
    isWriting = false;
    await writing;
    send("stopped");
  } else {
    const report: WorkReport = {
      confirmed,
      received,
      errors: Object.fromEntries(errors),
      log,
      longest,
    };
    send(report);
  }
}
