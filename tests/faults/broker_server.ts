import type { ChannelOptions } from "../../mod.ts";
import type { State } from "../conformance/fixture.ts";
import type { PrivateBroker } from "../support/broker.ts";
import { brokerState } from "../support/broker_state.ts";
import type { Framing } from "../support/framing.ts";
import { rawPut } from "../support/raw.ts";
import { connectionNames, listeners } from "./broker.ts";
import type { Server } from "./server.ts";

/** A RabbitMQ that faults happen to. */
export class BrokerServer implements Server {
  readonly broker: PrivateBroker;
  readonly framing: Framing = "amqp";

  constructor(broker: PrivateBroker) {
    this.broker = broker;
  }

  get port(): number {
    return this.broker.port;
  }

  get uri(): string {
    return this.broker.uri;
  }

  uriAt(port: number, name: string): string {
    const uri = new URL(`amqp://127.0.0.1:${port}`);
    uri.searchParams.set("heartbeat", "1");
    uri.searchParams.set("name", name);
    return uri.href;
  }

  async isAttached(connection: string): Promise<boolean> {
    return (await connectionNames(this.broker)).includes(connection);
  }

  async listeners(channel: string): Promise<number> {
    return await listeners(this.broker, channel);
  }

  async put(channel: string, values: readonly number[]): Promise<void> {
    await rawPut(this.uri, channel, [...values]);
  }

  async state(): Promise<State> {
    return (await brokerState(this.broker.control))!;
  }

  channelOptions(isQuorum: boolean): ChannelOptions {
    return { durability: isQuorum ? "quorum" : "classic" };
  }
}
