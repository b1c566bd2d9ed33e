import { ChannelConnectionError } from "../shared/errors.ts";
import type { Pipe, PipeObserver } from "../transports/home/pipes/pipe.ts";
import { type Frame, ProtocolError, readFrame } from "../transports/home/protocol/frame.ts";
import { version } from "../transports/home/protocol/hello.ts";
import { messageFields } from "../transports/home/protocol/message_fields.ts";
import type { Loan } from "../transports/transport.ts";
import type { Newcomer, PeerInfo } from "./acceptor.ts";
import type { PeerIdentity } from "./authorize.ts";
import { PeerHoldings } from "./peer_holdings.ts";
import type { PeerLink } from "./peer_link.ts";
import { PeerPipe } from "./peer_pipe.ts";
import type { WaitingRequest } from "./peer_requests.ts";
import { lentAttempts, lentMessage } from "./peer_rules.ts";
import type { PeerSession } from "./peer_session.ts";
import { PeerWords, type WordsHome } from "./peer_words.ts";

/** What a peer needs of its home. */
export interface PeerHome extends WordsHome {
  /** The id of the home, by which peers know whether it has restarted. */
  readonly id: string;
  /** Loads the transport. */
  ready(): Promise<void>;
  /** Admits a peer. @throws {ChannelConnectionError} if it is refused */
  admit(peer: HomePeer, hello: Frame): Admitted;
  /** The connection of a peer has ended. */
  left(peer: HomePeer, reason: Error | undefined): void;
  /** Returns what a peer is told of an error, as JSON. An error that is none of the library is logged. */
  shownError(error: unknown): string;
}

/** What the home knows of an admitted peer. */
export interface Admitted {
  readonly name: string;
  readonly token: string | undefined;
  readonly session: PeerSession;
}

/**
 * A connection of a peer, from the home's side.
 *
 * Invariants: nothing but HELLO is handled before the peer is admitted, nor before the home is ready. When the
 * connection has ended, the peer has no loan, no request that waits and, within a bounded time, no link.
 */
export class HomePeer implements PipeObserver {
  readonly info: PeerInfo;
  /** What `authorize` sees; set when the peer is admitted. */
  identity!: PeerIdentity;
  /** What the peer calls itself. */
  name = "";
  session!: PeerSession;
  readonly holdings: PeerHoldings;
  readonly #home: PeerHome;
  readonly #words: PeerWords;
  readonly #newcomer: Newcomer & { admit?(): void } | undefined;
  #pipe!: PeerPipe;
  #isAdmitted = false;
  #isEnded = false;
  /** The frames that have arrived before the home was ready. */
  #early: Uint8Array[] | undefined;

  /** @param open returns the open pipe */
  constructor(
    home: PeerHome,
    info: PeerInfo,
    open: (observer: PipeObserver) => Pipe,
    newcomer: Newcomer & { admit?(): void } | undefined,
  ) {
    this.#home = home;
    this.info = info;
    this.#newcomer = newcomer;
    this.holdings = new PeerHoldings(home.limits.loans);
    this.#words = new PeerWords(home, this);
    this.#pipe = new PeerPipe(open(this), home.limits, (isSlow) => this.#onSlow(isSlow));
  }

  get isSlow(): boolean {
    return this.#pipe.isSlow;
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  get buffered(): number {
    return this.#pipe.buffered;
  }

  // PipeObserver

  received(bytes: Uint8Array): void {
    if (this.#isEnded) return;
    if (this.#early !== undefined) {
      this.#early.push(bytes);
      return;
    }
    try {
      const frame = readFrame(bytes);
      if (this.#isAdmitted) this.#words.handle(frame, bytes.length);
      else this.#greet(frame);
    } catch (error) {
      this.#pipe.abort(error as Error);
    }
  }

  drained(): void {
    this.#pipe.drained();
  }

  closed(error: Error | undefined): void {
    this.#end(true);
    this.#pipe.ended();
    this.#newcomer?.gone();
    this.#home.left(this, error);
  }

  // Greeting

  #greet(frame: Frame): void {
    let admitted: Admitted;
    try {
      admitted = this.#home.admit(this, frame);
    } catch (error) {
      if (!(error instanceof ChannelConnectionError)) throw error;
      return this.#refuse(error);
    }
    const { name, token, session } = admitted;
    const { transport, address, origin, key, username } = this.info;
    this.name = name;
    this.session = session;
    this.identity = Object.defineProperty(
      {
        transport,
        address,
        ...origin === undefined ? {} : { origin },
        ...key === undefined ? {} : { key },
        ...username === undefined ? {} : { username },
      },
      "token",
      { value: token },
    );
    this.#isAdmitted = true;
    this.#newcomer?.admit?.();
    if (this.#home.features !== undefined) return this.#welcome();
    this.#early = [];
    this.#pipe.pause("early");
    this.#home.ready().then(() => this.#welcome(), (error) => this.#refuse(error));
  }

  #welcome(): void {
    const { id, limits, features } = this.#home;
    this.send(`WELCOME ${
      JSON.stringify({
        version,
        home: id,
        resumed: this.session.isResumed,
        terms: features!.terms ?? [],
        rendezvous: features!.rendezvous ?? false,
        maxFrame: limits.frame,
        maxPuts: limits.puts,
      })
    }`);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) this.received(bytes);
    this.#pipe.resume("early");
  }

  /** Refuses the peer. Nothing that it sends is handled. */
  #refuse(error: unknown): void {
    this.#early ??= [];
    this.#pipe.pause("early");
    this.send(`REFUSED ${this.#home.shownError(error)}`);
    this.#pipe.close();
  }

  // What requests and links call

  send(header: string, body?: Uint8Array): void {
    if (!this.#isEnded) this.#pipe.send(header, body);
  }

  refuse(request: number, error: unknown): void {
    if (!this.#isEnded) this.send(`NO ${request} ${this.#home.shownError(error)}`);
  }

  lend(request: number, loan: Loan, link: PeerLink): void {
    if (this.#isEnded || link.isClosed) return loan.release();
    if (this.holdings.loans.has(request)) { // the peer has numbered a TRY and another request alike
      loan.release();
      return this.#pipe.abort(new ProtocolError("a request number is used again"));
    }
    this.holdings.lent(request, loan, link);
    const { message } = loan;
    const redelivered = loan.redelivered || message.copy !== undefined;
    const attempts = lentAttempts(loan.attempts);
    const properties = messageFields(lentMessage(message));
    this.send(`LEND ${request} ${attempts} ${redelivered ? 1 : 0} ${properties}`, message.body);
  }

  ended(request: WaitingRequest): void {
    this.holdings.ended(request);
  }

  hold(size: number, isPut?: boolean): void {
    this.#pipe.hold(size, isPut);
  }

  letGo(size: number, isPut?: boolean): void {
    this.#pipe.letGo(size, isPut);
  }

  #onSlow(isSlow: boolean): void {
    const { requests, links } = this.holdings;
    for (const request of [...requests.values()]) request.slowed(isSlow);
    if (!isSlow) { for (const link of links.values()) link.resumed(); }
  }

  // The end

  /** The peer has connected again, and its new connection takes over. */
  replaced(): void {
    this.#end(true);
    this.#pipe.abort(new Error("the peer has connected again"));
  }

  /** Ends the connection: what was answered is sent. Resolves when the links are closed, in a bounded time. */
  async close(): Promise<void> {
    this.#pipe.pause("early");
    this.holdings.dropAll();
    await Promise.all([...this.holdings.links.values()].map((link) => link.close()));
    this.#end(false);
    this.#pipe.close();
  }

  #end(counted: boolean): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.holdings.end(counted);
  }
}
