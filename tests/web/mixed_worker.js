// A worker that is the same in a page and in a process. Each job is JSON: a number, and the channel for the answer.

const isProcess = globalThis.process !== undefined;
const { Channel } = await import(isProcess ? "@channelts/channel" : "@channelts/channel/web");

/** Does jobs until they are drained. Returns how many it has done. */
export async function work(who, connection, name) {
  const jobs = new Channel({ name, connection, encoding: "json" });
  await jobs.depth(); // attaches
  globalThis.isReady = true;
  let done = 0;
  for await (const { n, text, replyTo } of jobs) {
    await replyTo.put({ who, n, square: n ** 2, text: text.toUpperCase() });
    await replyTo.close();
    done++;
  }
  return done;
}

// In a process: mixed_worker.js NAME CONNECTION CHANNEL
if (isProcess) {
  const args = process.argv.slice(2);
  process.stdout.write(`${args[0]} has done ${await work(...args)} jobs\n`);
}
