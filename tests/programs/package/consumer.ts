// A program that is checked with the declarations of the npm package, with and without the types of Node.

import {
  after,
  Channel,
  ChannelClosedError,
  type ChannelOptions,
  ChannelTimeoutError,
  Connection,
  type Delivery,
  pipe,
  type ReceiveChannel,
  select,
  type SendChannel,
  serve,
  type Transport,
} from "@channelts/channel";

interface Job {
  readonly n: number;
  readonly replyTo: Channel<number>;
}

const options: ChannelOptions = { name: "jobs", connection: "memory:", maxAttempts: 3 };
export const jobs: Channel<Job> = new Channel<Job>(options);
export const sender: SendChannel<Job> = jobs.sender;
export const receiver: ReceiveChannel<Job> = jobs.receiver;
export const connection: Connection = new Connection("memory:");
export const reach = (transport: Transport): string => transport.reach;

export async function work(signal: AbortSignal): Promise<number> {
  for await (const { n, replyTo } of jobs) await replyTo.put(n * n, { timeout: 1000, signal });
  const delivery: Delivery<Job> = await jobs.receive();
  delivery.accept();
  await using temporary = new Channel<string>();
  await pipe(temporary, new Channel<string>("others"), { signal });
  const chosen = await select({ jobs, late: after(10) });
  if (chosen.closed) return 0;
  if (chosen.key === "jobs") return chosen.value.n;
  const stream: ReadableStream<Job> = jobs.readable();
  await stream.cancel();
  await serve(new Channel<number>("squares"), (n, { signal }) => signal.aborted ? 0 : n * n);
  try {
    return await new Channel<number>("squares").request<number>(7);
  } catch (error) {
    if (error instanceof ChannelTimeoutError) return -1;
    if (error instanceof ChannelClosedError) return error.reason.length;
    throw error;
  }
}

// @ts-expect-error a channel of numbers takes no text
export const wrong: Promise<void> = new Channel<number>().put("text");
