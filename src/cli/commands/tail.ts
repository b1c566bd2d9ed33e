import { OutputClosedError } from "../output.ts";
import type { Command } from "../command.ts";
import { count } from "../numbers.ts";
import { type NotationOptions, outputOptions, writeValue } from "../values.ts";

interface Options extends NotationOptions {
  readonly count?: number;
}

export const command: Command<Options> = {
  args: "<name>",
  argHelp: { name: "the name of the channel" },
  description: "Prints the broadcasts of a channel from now on, each as a line of JSON.",
  options: [
    {
      flags: "-n, --count <n>",
      description: "the number of broadcasts (default: no limit)",
      parse: count,
    },
    ...outputOptions,
  ],
  examples: [
    { text: "print broadcasts until Ctrl-C", line: "channelts tail prices" },
    {
      text: "wait for one broadcast, 5 s at most",
      line: "channelts tail prices -n 1 --timeout 5000",
    },
  ],
  notes: 'Broadcasts are not stored: those before the line "listening" on stderr are not ' +
    "printed. What JSON does not have is printed in its nearest form. The exit code is 0 " +
    "when the channel is closed.",
  async run(context, [name], options) {
    const { output, waiting: { timeout }, signal } = context;
    const channel = await context.channel(name as string);
    const broadcasts = channel.broadcasts({ signal });
    await broadcasts.ready;
    output.note(`tail: listening to ${channel.name}`);
    let missed = 0;
    for (let left = options.count ?? Infinity; left > 0; left--) {
      const next = await within(timeout, broadcasts.next());
      if (next === undefined) {
        output.error(`tail: no broadcast came within ${timeout} ms`);
        return 3;
      }
      if (next.done) return;
      try {
        await output.write(writeValue(next.value, options, false));
      } catch (error) {
        if (error instanceof OutputClosedError) return; // nothing is lost but what nobody reads
        throw error;
      }
      if (broadcasts.missed > missed) {
        missed = broadcasts.missed;
        output.warn(`tail: ${missed} broadcasts were missed so far, because stdout is slow`);
      }
    }
    await broadcasts.return();
  },
};

/** Returns undefined if the promise does not settle in time. */
function within<T>(ms: number | undefined, promise: Promise<T>): Promise<T | undefined> {
  if (ms === undefined || ms === Infinity) return promise;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      promise.catch(() => {}); // the listening ends with the channel
      resolve(undefined);
    }, ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
