import type { ChannelOptions } from "../../mod.ts";
import { RedisTransport } from "../../src/transports/redis/transport.ts";
import type { State } from "../conformance/fixture.ts";
import type { Framing } from "../support/framing.ts";
import { linkOptions, putOn } from "../support/link.ts";
import type { PrivateRedis } from "../support/redis.ts";
import { newClient, stateOf, withAdmin } from "../support/redis_setup.ts";
import type { Server } from "./server.ts";

/** A Redis that faults happen to. */
export class RedisFaultServer implements Server {
  readonly redis: PrivateRedis;
  readonly framing: Framing = "resp";

  constructor(redis: PrivateRedis) {
    this.redis = redis;
  }

  get port(): number {
    return this.redis.port;
  }

  get uri(): string {
    return this.redis.uri;
  }

  uriAt(port: number, name: string): string {
    const uri = new URL(`redis://127.0.0.1:${port}`);
    uri.searchParams.set("heartbeat", "1");
    uri.searchParams.set("name", name);
    return uri.href;
  }

  async isAttached(_: string, channel: string): Promise<boolean> {
    return await this.listeners(channel) > 0;
  }

  async listeners(channel: string): Promise<number> {
    return await withAdmin(this.uri, async (admin) => {
      const key = `channelts:{${channel.replace(/[%{}]/g, encodeURIComponent)}}:links`;
      const sessions = Object.keys(await admin.hGetAll(key)).map((each) => each.split("/")[0]!);
      const counts = await Promise.all(
        sessions.map((each) => admin.pubSubNumSub([`channelts:${each}`])),
      );
      return counts.flatMap((each) => Object.values(each)).filter((count) => Number(count) > 0)
        .length;
    });
  }

  async put(channel: string, values: readonly number[]): Promise<void> {
    const transport = new RedisTransport(this.uri);
    const link = await transport.open(channel, linkOptions);
    for (const value of values) {
      const body = new TextEncoder().encode(String(value));
      await putOn(link, { body, contentType: "application/json" });
    }
    await link.close();
    transport.rest();
  }

  state(): Promise<State> {
    return withAdmin(this.uri, stateOf);
  }

  channelOptions(): ChannelOptions {
    return {};
  }
}

/** Runs a command on the server, on a connection of its own. */
export async function command(server: RedisFaultServer, ...args: string[]): Promise<unknown> {
  const client = newClient({ url: server.uri, name: "admin", disableClientInfo: true });
  client.on("error", () => {}); // the command rejects
  await client.connect();
  try {
    return await client.sendCommand(args);
  } finally {
    client.destroy();
  }
}
