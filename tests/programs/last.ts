// Runs one operation, reports its result, and closes nothing.
import { Channel, ChannelConnectionError, ChannelTimeoutError } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [act, connection, name] = process.argv.slice(2) as [string, string, string];
const channel = new Channel<string>({ name, connection });

const acts: Record<string, () => Promise<unknown>> = {
  put: () => channel.put("the last put"),
  "put without await": () => {
    channel.put("the last put");
    return Promise.resolve();
  },
  get: () => channel.get(),
  "get of its own put": async () => {
    await channel.put("to itself");
    return await channel.get();
  },
  "timed-out get": async () => {
    await channel.depth(); // attached, because connecting may take longer than this get
    return await channel.get({ timeout: 100 }).catch((error) => {
      if (!(error instanceof ChannelTimeoutError)) throw error;
      return error.name;
    });
  },
  "get at once": () =>
    channel.get({ timeout: 0 }).catch((error) => {
      if (!(error instanceof ChannelTimeoutError)) throw error;
      return error.name;
    }),
  "aborted get": () => channel.get({ signal: AbortSignal.timeout(100) }).catch(({ name }) => name),
  iteration: async () => {
    setTimeout(() => new Channel({ name, connection }).closeAll(), 100);
    for await (const value of channel) send(value);
  },
  attach: () => channel.depth(),
  "late get of an unreachable broker": () =>
    channel.get({ timeout: 100 }).catch((error) => {
      if (!(error instanceof ChannelConnectionError)) throw error;
      return error.name;
    }),
  "close while connecting": () => {
    channel.put("in vain").catch(() => {});
    return channel.close();
  },
};

const result = await acts[act]!();
send({ result });
