/** The compared clients, the reference first. */
import { openAmqplib } from "./amqplib.ts";
import { openChannelTS } from "./channelts.ts";
import type { Client } from "./client.ts";
import { openRabbitmqClient } from "./rabbitmq_client.ts";
import { openRaw } from "./raw.ts";

export type ClientName = "raw" | "amqplib" | "rabbitmq-client" | "channel";

/** How each client connects. */
export const clients: Readonly<Record<ClientName, (uri: string) => Promise<Client>>> = {
  "raw": openRaw,
  "amqplib": openAmqplib,
  "rabbitmq-client": openRabbitmqClient,
  "channel": openChannelTS,
};
