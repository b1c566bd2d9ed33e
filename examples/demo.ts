// deno-lint-ignore-file no-console
//
// The main job: requesters put jobs into one channel, workers share them and answer each on the
// channel that came with it, and one closeAll ends them all. See HELP below for how to run it.

import { Channel, ChannelTimeoutError } from "@channelts/channel";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { bar, table } from "./demo_output.ts";
import { type Answer, type Briefing, countWords, type Hello, type Job, work } from "./worker.ts";

const HELP = `Counts the words of this project's own source, in ${"1,000"} jobs that workers share.

  deno task demo                                   the workers are tasks of this process
  deno task demo --connection amqp://HOST:PORT     the workers are processes, RabbitMQ is between

Options:
  --connection URI   memory: (the default) or amqp://user:password@host:port/vhost
  --help             this text

The exit code is 0 if every job was answered once, and 1 if not.`;

const JOBS = 1000;
const WORKERS = ["ada", "bob", "cyd"];
const REQUESTERS = ["ren", "sam"];
/** How many answers a requester waits for at a time. */
const WINDOW = 8;

/** One of WORKERS: a task or a process, that ends by itself. */
interface Worker {
  /** Resolves when it has ended: whether it did so in order. */
  readonly ended: Promise<boolean>;
}

interface Result {
  readonly answer: Answer;
  /** Milliseconds from the put of the job to the get of the answer. */
  readonly latency: number;
}
