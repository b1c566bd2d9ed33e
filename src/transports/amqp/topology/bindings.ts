/**
 * How long a channel is kept: until it is deleted, or until nobody has used it for some time. A channel
 * without a name expires, too, and is mostly used once.
 */
export type Lifetime = "durable" | "expiring" | "anonymous";

/** Where announcements are published, and what a queue is bound to that gets them. */
export interface Binding {
  readonly exchange: string;
  readonly routingKey: string;
}

/** Every broker has this exchange (AMQP 0-9-1, section 3.1.3.1). The correlation id of a message names the channel. */
export const directExchange = "amq.direct";

/** Where every connection hears what is announced. */
export const commonBinding: Binding = {
  exchange: directExchange,
  routingKey: "channelts.anonymous",
};

/**
 * Where the users of a channel are bound. Only a durable channel has an exchange of its own: an exchange that
 * goes with its last binding breaks in a race on RabbitMQ's metadata store Khepri
 * (https://www.rabbitmq.com/docs/metadata-store), and one that stays would outlive the channel.
 */
export function usersBinding(name: string, lifetime: Lifetime): Binding {
  return lifetime === "durable"
    ? { exchange: name, routingKey: "" }
    : { exchange: directExchange, routingKey: reservedName(name, "users") };
}

/** The name of something that belongs to a channel; no channel has such a name. */
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
