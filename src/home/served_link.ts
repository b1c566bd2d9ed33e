import type { Attached, Attachment } from "../connection/attachment.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import type { CloseReason } from "../shared/errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { closeAllEvent, isCloseAllEvent } from "../transports/close_all_event.ts";
import type {
  ChannelStats,
  Claim,
  EmptyWaiter,
  Link,
  LinkObserver,
  LinkOptions,
  Loan,
  Offer,
  RoomWaiter,
} from "../transports/transport.ts";
import { EndedLink } from "./ended_link.ts";
import { Meeting } from "./meeting.ts";

/**
 * A link on a channel of the connection that a home serves. It shares the engine's link with all others on the channel,
 * as the handles of a process do: those of the home's own channels, and those of its peers.
 *
 * Invariant: the attachment knows the link from `open` until `close`, or until the channel is closed for all.
 */
export class ServedLink implements Link, Attached {
  readonly awaitRoom?: (waiter: RoomWaiter) => void;
  readonly awaitEmpty?: (waiter: EmptyWaiter) => void;
  readonly #observer: LinkObserver;
  #attachment!: Attachment;
  #name = "";
  /** The link of the engine. */
  #engine!: Link;
  /** The link of the engine; once that is closed, one that refuses everything. */
  #link!: Link;
  #meeting!: Meeting;
  /** Whether this link is closing the channel for all, so that its observer is not told. */
  #isCloser = false;
  #isClosed = false;
  /** Resolves `terminate`. */
  #released: (() => void) | undefined;
  readonly #onClosed: (link: ServedLink) => void;

  private constructor(observer: LinkObserver, onClosed: (link: ServedLink) => void) {
    this.#observer = observer;
    this.#onClosed = onClosed;
  }

  /** Opens a link. Rejects as `Transport.open` does. */
  static async open(
    connection: SharedConnection,
    name: string,
    { observer, signal, ...options }: LinkOptions,
    onClosed: (link: ServedLink) => void = () => {},
  ): Promise<ServedLink> {
    const served = new ServedLink(observer, onClosed);
    served.#name = name;
    await connection.attach(served, name, options, signal);
    return served;
  }

  joined(attachment: Attachment): void {
    this.#attachment = attachment;
    const { link } = attachment;
    this.#engine = this.#link = link;
    const self = this as { -readonly [Name in "awaitRoom" | "awaitEmpty"]?: ServedLink[Name] };
    this.#meeting = Meeting.at(link);
    if (link.awaitRoom !== undefined) self.awaitRoom = (waiter) => this.#meeting.awaitRoom(waiter);
    if (link.awaitEmpty !== undefined) self.awaitEmpty = (waiter) => this.#link.awaitEmpty!(waiter);
  }

  // Link

  put(offer: Offer): void {
    this.#link.put(offer);
  }

  take(claim: Claim): void {
    this.#link.take(claim);
  }

  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean {
    return Meeting.at(this.#engine).withdraw(one as RoomWaiter) || this.#engine.withdraw(one);
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return this.#meeting.tryTake(counted);
  }

  async announce(event: Uint8Array, isControl?: boolean): Promise<void> {
    if (!isCloseAllEvent(event)) {
      this.#attachment.announced(event, this);
      return await this.#link.announce(event, isControl);
    }
    await this.#link.announce(event, true);
    this.#closeForAll("closeAll");
  }

  catchUp(): Promise<void> {
    return this.#link.catchUp();
  }

  drain(): Promise<void> {
    return this.#link.drain();
  }

  depth(): Promise<number> {
    return this.#link.depth();
  }

  async stats(): Promise<ChannelStats> {
    return await this.#link.stats?.() ?? { depth: await this.#link.depth() };
  }

  async delete(): Promise<void> {
    await this.#link.delete();
    this.#closeForAll("delete");
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#released === undefined) await this.#attachment.remove(this);
    else this.#released();
    this.#onClosed(this);
  }

  /** The home is closed: closes the channel for the observer alone, which then closes the link. */
  end(): void {
    if (!this.#isClosed) this.#observer.announced(closeAllEvent);
  }

  #closeForAll(reason: CloseReason): void {
    this.#isCloser = true;
    this.#attachment.terminate(reason);
  }

  // Attached

  terminate(reason: CloseReason): Promise<void> {
    const released = new Promise<void>((resolve) => this.#released = resolve);
    if (!this.#isCloser) {
      if (reason === "delete") this.#observer.gone();
      else this.#observer.announced(closeAllEvent);
    }
    return within(closeTimeout, released).then(() => {
      if (this.#isClosed) return;
      this.#link = new EndedLink(this.#name, reason);
      this.#meeting = Meeting.at(this.#link);
    });
  }

  announced(event: Uint8Array): void {
    this.#observer.announced(event);
  }

  missed(count: number): void {
    this.#observer.missed(count);
  }
}
