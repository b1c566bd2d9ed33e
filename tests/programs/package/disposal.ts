// Compiled, `await using` works on runtimes that do not have the syntax.

import { Channel, type Connection } from "@channelts/channel";

export async function isDisposed(connection: Connection | string): Promise<boolean> {
  let left: Channel<string>;
  {
    await using ch = new Channel<string>({ connection });
    await ch.put("a value");
    left = ch;
  }
  return await left.get().then(() => false, (error) => error.reason === "delete");
}
