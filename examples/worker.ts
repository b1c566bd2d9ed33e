// The worker of demo.ts: a task of the demo's process, or a process of its own.
//
//   CHANNELTS_URI=amqp://HOST deno run --allow-env=CHANNELTS_URI --allow-net examples/worker.ts HELLO

import { Channel } from "@channelts/channel";
import process from "node:process";

/** A piece of text whose words are to be counted, and where the counts go. */
export interface Job {
  readonly piece: number;
  readonly text: string;
  readonly replyTo: Channel<Answer>;
}

/** The counts of one piece: a Map travels as a Map. */
export interface Answer {
  readonly piece: number;
  readonly worker: string;
  readonly words: Map<string, number>;
}

/** What a worker is told when it has said hello. */
export interface Briefing {
  readonly name: string;
  readonly jobs: Channel<Job>;
}

/** A channel that carries channels: each worker sends its own mailbox through it. */
export type Hello = Channel<Channel<Briefing>>;

/** Says hello, is told its name and the jobs, and does them until they are closed for everyone. */
export async function work(hello: Hello): Promise<void> {
  await using mailbox = hello.clone<Briefing>(); // a new channel on the same connection
  await hello.put(mailbox);
  const { name, jobs } = await mailbox.get();
  for await (const { piece, text, replyTo } of jobs) {
    await replyTo.put({ piece, worker: name, words: countWords(text) });
  }
}

/** How often each word occurs. */
export function countWords(text: string): Map<string, number> {
  const words = new Map<string, number>();
  for (const [word] of text.toLowerCase().matchAll(/\p{L}+/gu)) {
    words.set(word, (words.get(word) ?? 0) + 1);
  }
  return words;
}

if (import.meta.main) {
  // No worker outlives a demo that was killed: nobody would close the jobs.
  Deno.unrefTimer(setTimeout(() => Deno.exit(1), 60_000));
  await work(new Channel({ name: process.argv[2] ?? "hello" }));
  // There is nothing to close: the process waits for nothing now, and so it ends.
}
