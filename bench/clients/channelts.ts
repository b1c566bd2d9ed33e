import { Channel } from "../../mod.ts";
import { type Client, kept } from "./client.ts";

/** ChannelTS with the interface of the other clients. */
export interface ChannelClient extends Client {
  /** Returns the channel of a declared queue. */
  channel(queue: string): Channel<Uint8Array>;
}

export function openChannelTS(connection: string): Promise<ChannelClient> {
  const all: Channel<Uint8Array>[] = [];
  const channel = kept((name: string) => {
    const channel = new Channel<Uint8Array>({ name, connection });
    all.push(channel);
    return channel;
  });
  return Promise.resolve({
    label: "ChannelTS",
    channel,
    declare: (queue) => channel(queue).depth(), // the first operation attaches
    put: (queue, body) => channel(queue).put(body),
    consume: (queue, _, take) => {
      const handle = channel(queue).dup();
      const loop = async () => {
        for await (const body of handle) take(body);
      };
      const looping = loop();
      return Promise.resolve(async () => {
        await handle.close();
        await looping;
      });
    },
    close: () => Promise.all(all.map((channel) => channel.close())),
  });
}
