import { ChannelError } from "../shared/errors.ts";
import type { Message } from "../transports/transport.ts";
import type { LinkPut, LinkRequest, PeerLink } from "./peer_link.ts";
import type { AnswerTaker, PeerSession, SessionPut } from "./peer_session.ts";
import type { ServedLink } from "./served_link.ts";

/**
 * A put of a peer. It never waits for room: if the channel is full, the message stays with the peer.
 *
 * Invariant: the put is answered once. If its connection is lost, the answer goes to the connection on which the peer
 * sends the message again, and the put is also one of the link there: if the channel is full, later puts of that link are
 * refused, too.
 */
export class PeerPut implements LinkPut, LinkRequest, SessionPut {
  readonly action = "put";
  readonly message: Message;
  readonly settled = false;
  readonly isTry: boolean;
  /** The link on which the engine was given the put. It stays open for it. */
  readonly #begunOn: PeerLink;
  #link: PeerLink;
  readonly #session: PeerSession;
  /** The number by which the session knows the put. */
  readonly #number: number;
  readonly size: number;
  #isRefused = false;
  #peer: AnswerTaker;
  #request: number;

  /**
   * @param number the number of the request in which the message was first sent
   * @param size the bytes of the message, for the limits of the peer
   */
  constructor(
    peer: AnswerTaker & { readonly session: PeerSession },
    link: PeerLink,
    request: number,
    number: number,
    message: Message,
    { isTry, size }: { readonly isTry: boolean; readonly size: number },
  ) {
    this.#peer = peer;
    this.#session = peer.session;
    this.#begunOn = this.#link = link;
    this.#request = request;
    this.#number = number;
    this.size = size;
    this.message = message;
    this.isTry = isTry;
  }

  // LinkRequest

  start(served: ServedLink): void {
    if (this.#link.isFull && !this.isTry) return this.#answer(`FULL ${this.#request}`);
    this.#session.begin(this.#number, this);
    this.#link.puts.add(this);
    served.put(this);
  }

  refuse(error: unknown): void {
    this.#peer.refuse(this.#request, error);
    this.#peer.letGo(this.size, true);
  }

  // SessionPut

  answerTo(peer: AnswerTaker, request: number, link: PeerLink): void {
    if (peer === this.#peer) peer.letGo(this.size, true); // the earlier request gets no answer
    this.#peer = peer;
    this.#request = request;
    if (this.#link !== this.#begunOn) this.#link.putSettled(this);
    this.#link = link;
    link.puts.add(this);
  }

  // LinkPut

  taken(): void {
    this.#session.taken(this.#number);
    this.#link.refusals = 0;
    this.#answer(`OK ${this.#request}`);
    this.#settled();
  }

  reject(error: Error): void {
    const isUncertain = error instanceof ChannelError && error.messageId !== undefined;
    this.#session.forget(this.#number, isUncertain);
    this.refuse(error);
    this.#settled();
  }

  full(): void {
    if (this.#isRefused) return; // it was withdrawn when an earlier put found the channel full
    this.#isRefused = true;
    this.#session.forget(this.#number);
    this.#link.puts.delete(this);
    this.#answer(`FULL ${this.#request}`);
    if (!this.isTry && !this.#link.isFull) this.#link.full();
    this.#settled();
  }

  recall(served: ServedLink): void {
    if (!served.withdraw(this)) return;
    this.#session.forget(this.#number);
    this.#settled();
  }

  #settled(): void {
    this.#link.putSettled(this);
    this.#begunOn.putSettled(this);
  }

  #answer(header: string): void {
    this.#peer.send(header);
    this.#peer.letGo(this.size, true);
  }
}
