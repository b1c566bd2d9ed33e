// deno-lint-ignore-file require-await -- an array answers at once
import { ChannelClosedError, ImmediateLink, type Lent } from "@channelts/channel";
import type { CloseReason, Link, LinkOptions, Reach, Transport } from "@channelts/channel";

/** Channels of one isolate. Each keeps its messages in an array. */
export class ArrayTransport implements Transport {
  readonly address: string = "array:";
  readonly reach: Reach = "isolate";
  readonly features = { shared: false };
  readonly trouble = undefined;
  readonly #links = new Map<string, ArrayLink>();

  async open(name: string, options: LinkOptions): Promise<Link> {
    for (const [name, { isGone }] of this.#links) if (isGone) this.#links.delete(name);
    let link = this.#links.get(name);
    if (link === undefined) {
      if (!options.create) throw closed("missing");
      this.#links.set(name, link = new ArrayLink(options));
    }
    link.unusedSince = Infinity;
    return link;
  }
}

type Stored = Lent & { readonly position: number };

/** A channel, with the one link that the core opens for all its handles. */
class ArrayLink extends ImmediateLink<Stored> {
  unusedSince = Infinity;
  #messages: Stored[] = [];
  #position = 0;
  #closed: ChannelClosedError | undefined;

  get isGone(): boolean {
    const end = this.unusedSince + (this.options.lease ?? Infinity);
    return this.#closed?.reason === "delete" || end <= Date.now();
  }

  protected add(message: Lent): boolean {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#messages.length + this.lent >= (this.options.capacity ?? Infinity)) return false;
    this.#messages.push({ ...message, position: this.#position++ });
    return true;
  }

  protected next(): Stored | undefined {
    const isOver = this.#closed?.reason === "delete" || this.#messages.length + this.lent === 0;
    if (this.#closed !== undefined && isOver) throw this.#closed;
    return this.#messages.shift();
  }

  protected returned(message: Stored): void {
    if (this.#closed?.reason !== "delete") this.#messages.push(message);
    this.#messages.sort((a, b) => a.position - b.position);
  }

  async depth(): Promise<number> {
    return this.#messages.length;
  }

  async drain(): Promise<void> {
    this.#closed = closed("drain");
    this.serve();
  }

  async delete(): Promise<void> {
    this.#closed = closed("delete");
    this.#messages = [];
    this.serve();
  }

  async close(): Promise<void> {
    this.unusedSince = Date.now();
  }
}

function closed(reason: CloseReason): ChannelClosedError {
  return new ChannelClosedError(`the channel is closed (${reason})`, { reason });
}
