import { Buffer } from "node:buffer";
import type { ChannelOptions } from "../../mod.ts";
import type { State } from "../conformance/fixture.ts";
import { censusOf, type HomeProcess } from "../homes/home_process.ts";
import type { Framing } from "../support/framing.ts";
import type { Server } from "./server.ts";

/** A home that faults happen to. */
export class HomeServer implements Server {
  readonly home: HomeProcess;
  readonly framing: Framing;
  readonly port: number;

  constructor(home: HomeProcess) {
    this.home = home;
    this.port = home.ports[0]!;
    this.framing = home.addresses[0]!.startsWith("zmq:") ? "zmtp" : "websocket";
  }

  get uri(): string {
    return this.uriAt(this.port);
  }

  uriAt(port: number): string {
    const uri = new URL(this.home.addresses[0]!);
    uri.port = String(port);
    uri.searchParams.set("heartbeat", "1");
    return uri.href;
  }

  async isAttached(_: string, channel: string): Promise<boolean> {
    return await this.listeners(channel) > 0;
  }

  async listeners(channel: string): Promise<number> {
    return (await censusOf(this.home)).attached[channel] ?? 0;
  }

  async put(channel: string, values: readonly number[]): Promise<void> {
    for (const value of values) {
      const body = Buffer.from(String(value)).toString("base64");
      await this.home.ask({ ask: "put", name: channel, body, contentType: "application/json" });
    }
  }

  async state(): Promise<State> {
    const { peers, links, loans } = await censusOf(this.home);
    return {
      connections: peers.length,
      channels: links,
      consumers: loans,
      queues: [],
      exchanges: [],
    };
  }

  channelOptions(): ChannelOptions {
    return {};
  }
}
