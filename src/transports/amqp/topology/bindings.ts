/**
 * How long a channel is kept: until it is deleted, or until it has not been used for some time. An anonymous channel
 * expires, too; most are used once.
 */
export type Lifetime = "durable" | "expiring" | "anonymous";

/** Where announcements are published, and the announcement queues that receive them are bound. */
export interface Binding {
  readonly exchange: string;
  readonly routingKey: string;
}

/** An exchange that every broker has (AMQP 0-9-1, section 3.1.3.1). A message's correlation id names the channel. */
export const directExchange = "amq.direct";

/** The binding of every connection. */
export const commonBinding: Binding = {
  exchange: directExchange,
  routingKey: "channelts.anonymous",
};

/**
 * Returns the binding of the users of a channel. Only a durable channel has an exchange of its own. An auto-delete
 * exchange breaks in a race on RabbitMQ's metadata store Khepri (https://www.rabbitmq.com/docs/metadata-store), and any
 * other exchange would outlive a channel that expires.
 */
export function usersBinding(name: string, lifetime: Lifetime): Binding {
  return lifetime === "durable"
    ? { exchange: name, routingKey: "" }
    : { exchange: directExchange, routingKey: reservedName(name, "users") };
}

/** Returns the name of a part of a channel. No channel has such a name. */
export function reservedName(name: string, purpose: "closed" | "users"): string {
  const suffix = `.${purpose}.channelts`;
  if (encoder.encode(name + suffix).length <= 255) return name + suffix;
  let hash = 0xcbf29ce484222325n; // FNV-1a
  for (const byte of encoder.encode(name)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16) + suffix;
}

const encoder = new TextEncoder();
