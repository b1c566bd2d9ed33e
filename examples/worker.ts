// The worker of demo.ts: a task of its process, or a process of its own. The work is the same.
//
//   deno run --allow-net examples/worker.ts URI HELLO

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

/** Says hello, is told what to do, and does it until somebody closes the jobs for everyone. */
export async function work(hello: Hello, giveUp?: AbortSignal): Promise<void> {
  const { name, jobs } = await enlist(hello);
  if (giveUp !== undefined) return void await jobs.get({ signal: giveUp });
  for await (const { piece, text, replyTo } of jobs) {
    await replyTo.put({ piece, worker: name, words: countWords(text) });
  }
}

async function enlist(hello: Hello): Promise<Briefing> {
  await using mailbox = hello.clone<Briefing>(); // a new channel on the same connection
  await hello.put(mailbox);
  return await mailbox.get();
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
  const [connection = "memory:", name = "hello"] = process.argv.slice(2);
  // No worker outlives a demo that was killed: nobody would close its channels.
  Deno.unrefTimer(setTimeout(() => Deno.exit(1), 60_000));
  await work(new Channel({ name, connection }));
  // Nothing to close: the process ends, for it waits for nothing.
}
