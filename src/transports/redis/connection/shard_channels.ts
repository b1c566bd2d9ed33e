import type { RedisConnection } from "./redis_connection.ts";

/** A shard channel to which a connection subscribes. */
interface ShardChannel {
  /** What is called when the node ends the subscription. */
  readonly ended: Set<() => void>;
  /** Settles when the node has answered. */
  readonly made: Promise<unknown>;
}

/** The shard channels of one connection, by which scripts on a node of a cluster notify links. */
export class ShardChannels {
  readonly #channels = new Map<string, ShardChannel>();

  /**
   * Subscribes to a shard channel, once for all who ask for it.
   *
   * @param ended called when the node has ended the subscription, because it does not have the slot any more
   */
  async subscribe(connection: RedisConnection, name: string, ended: () => void): Promise<void> {
    const known = this.#channels.get(name);
    if (known !== undefined) {
      known.ended.add(ended);
      await known.made;
      return;
    }
    const made = connection.subscribe(name, true);
    this.#channels.set(name, { ended: new Set([ended]), made });
    await made;
  }

  /** Ends a subscription when the last of those who asked for it has left. */
  unsubscribe(connection: RedisConnection, name: string, ended: () => void): void {
    const known = this.#channels.get(name);
    if (!known?.ended.delete(ended) || known.ended.size > 0) return;
    this.#channels.delete(name);
    connection.unsubscribe(name, true);
  }

  /** The node has ended a subscription. */
  onEnded(name: string): void {
    const known = this.#channels.get(name);
    this.#channels.delete(name);
    for (const ended of known?.ended ?? []) ended();
  }

  clear(): void {
    this.#channels.clear();
  }
}
