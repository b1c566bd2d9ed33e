import type { Buffer } from "node:buffer";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { elsewhere, isElsewhere } from "../failure.ts";
import type { LinkSession, NotifiedLink } from "../connection/link_session.ts";
import type { ScriptName } from "../scripts/mod.ts";
import type { ServerState } from "../connection/server_check.ts";
import type { RedisSession } from "../connection/session.ts";
import type { Watch } from "../connection/watch.ts";

/**
 * What one link has of the connection to a node of a cluster. It ends with that connection, or when the node does not have the slot
 * of the channel any more, or not alone; the link then attaches at the node that has it, as after the loss of a connection.
 */
export class SlotSession implements LinkSession {
  readonly node: RedisSession;
  readonly slot: number;
  /** The refusal by which it ended; undefined if the connection was lost. */
  refusal: Error | undefined;
  /** The shard channel by which scripts on this node tell the link something. */
  readonly #shardChannel: string;
  readonly #all: Set<SlotSession>;
  readonly #onLost = new Set<() => void>();
  readonly #openedAt = performance.now();
  /** Resolves when the node has noted that the link listens. */
  #subscribed: Promise<void> = Promise.resolve();
  #loss: Error | undefined;

  /** @param all those of the cluster that have not ended */
  constructor(node: RedisSession, key: string, slot: number, all: Set<SlotSession>) {
    this.node = node;
    this.slot = slot;
    this.#shardChannel = `${key}:${node.id}:${node.nodeId}`;
    this.#all = all;
    all.add(this);
    node.onLost(this.#onNodeLost);
  }

  readonly #onNodeLost = (): void => this.#lose(this.node.loss!);

  readonly #onUnsubscribed = (): void => this.end(new Error("MOVED"));

  get address(): string {
    return this.node.address;
  }

  get processRef(): ProcessRef {
    return this.node.processRef;
  }

  get state(): ServerState {
    return this.node.state;
  }

  get watch(): Watch {
    return this.node.watch;
  }

  get warn(): (problem: string) => void {
    return this.node.warn;
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  get loss(): Error | undefined {
    return this.#loss;
  }

  get lossError(): ChannelConnectionError {
    return this.refusal === undefined ? this.node.lossError : elsewhere(this.address, this.refusal);
  }

  get age(): number {
    return performance.now() - this.#openedAt;
  }

  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  addLink(link: NotifiedLink): string {
    this.#subscribed = this.node.subscribe(this.#shardChannel, this.#onUnsubscribed);
    this.#subscribed.catch((error) => {
      if (isElsewhere(error)) this.end(error);
      // Otherwise the connection is lost, or the attachment rejects.
    });
    return this.node.addLink(link);
  }

  removeLink(holder: string): void {
    this.node.removeLink(holder);
    this.node.unsubscribe(this.#shardChannel, this.#onUnsubscribed);
    this.#leave();
  }

  // deno-lint-ignore no-explicit-any -- each script has its own reply
  async run(script: ScriptName, key: string, args: readonly (string | Buffer)[]): Promise<any> {
    if (this.#loss !== undefined) throw this.#loss;
    try {
      const running = this.node.run(script, key, args);
      if (script === "attach") await this.#untilSubscribed(running, key, args[0] as string);
      return await running;
    } catch (error) {
      if (!isElsewhere(error)) throw error;
      this.end(error as Error);
      throw this.#loss;
    }
  }

  /** Resolves when the node tells the link something. If the user may not subscribe, the link is detached. */
  async #untilSubscribed(attaching: Promise<unknown>, key: string, holder: string): Promise<void> {
    try {
      await this.#subscribed;
    } catch (error) {
      const undo = () => this.node.run("detach", key, [holder, "*", "0"]);
      attaching.then(() => this.#loss ?? undo()).catch(() => {}); // then it is not attached
      throw error;
    }
  }

  ping(): Promise<void> {
    return this.#loss === undefined ? this.node.ping() : Promise.reject(this.#loss);
  }

  isReplicated(): Promise<boolean> {
    return this.node.isReplicated();
  }

  async close(): Promise<void> {
    await Promise.resolve(); // the connection belongs to the cluster
  }

  /** Ends it, because the channel is elsewhere. */
  end(refusal: Error): void {
    if (this.#loss !== undefined) return;
    this.refusal = refusal;
    this.#lose(refusal);
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    this.#leave();
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
  }

  #leave(): void {
    this.#all.delete(this);
    this.node.offLost(this.#onNodeLost);
  }
}
