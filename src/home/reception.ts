import { connectionFor, PendingConnection } from "../connection/configured.ts";
import type { Logger } from "../connection/connection_options.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { ChannelConnectionError, ChannelError } from "../shared/errors.ts";
import { anonymousName } from "../shared/names.ts";
import { closeTimeout, defaultRetryTimeout, within } from "../shared/timeouts.ts";
import type { Pipe, PipeObserver } from "../transports/home/pipes/pipe.ts";
import type { Frame } from "../transports/home/protocol/frame.ts";
import { errorFields } from "../transports/home/protocol/wire_error.ts";
import type { Features, LinkOptions } from "../transports/transport.ts";
import type { Acceptor, PeerInfo } from "./acceptor.ts";
import { Admission, type WaitingConnection } from "./admission.ts";
import type { Authorize } from "./authorize.ts";
import { HomeLog } from "./home_log.ts";
import { type HomeLimits, limitsOf } from "./home_limits.ts";
import type { HomeOptions } from "./home_options.ts";
import { type Admitted, HomePeer, type PeerHome } from "./peer.ts";
import { checkToken, greetingOf, refusal } from "./peer_greeting.ts";
import { PeerSessions } from "./peer_session.ts";
import { ServedLink } from "./served_link.ts";

/** What listens for the connections of peers. */
export interface HomeServer {
  /** The address under which peers reach it, with its port and its public key. */
  readonly address: string;
  /** Stops listening. Resolves when the connections have ended, which the home closes. */
  close(): Promise<void>;
}

/**
 * The peers of a home, and the connection that it serves to them.
 *
 * Invariant: a peer is in `peers` from the moment when it is accepted until its connection has ended.
 */
export class Reception implements Acceptor, PeerHome {
  readonly id: string = anonymousName();
  readonly limits: Required<HomeLimits>;
  readonly authorize: Authorize | undefined;
  readonly peers: Set<HomePeer> = new Set();
  readonly sessions: PeerSessions;
  readonly servers: HomeServer[] = [];
  /** The open links of the home's own channels. */
  readonly #own = new Set<ServedLink>();
  #onOwnClosed: () => void = () => {};
  readonly #connection: SharedConnection | PendingConnection;
  readonly #admission: Admission;
  readonly #secret: string | undefined;
  /** Whether a peer on `zmq:` must send the secret, because the keys of the home do not depend on it. */
  readonly #hasKeys: boolean;
  readonly #log: HomeLog;
  #served: SharedConnection | undefined;
  #features: Features | undefined;
  #admitted = 0;
  #isClosed = false;

  /** @throws {ChannelConfigError} if an option is invalid */
  constructor(options: HomeOptions) {
    this.limits = limitsOf(options.limits);
    this.authorize = options.authorize;
    this.sessions = new PeerSessions(this.limits.puts);
    this.#connection = connectionFor(options.connection ?? "memory:");
    this.#admission = new Admission(this.limits);
    this.#secret = options.secret;
    this.#hasKeys = options.keys !== undefined;
    this.#log = new HomeLog(options.logger);
  }

  /** The connection that is served; undefined until it is known. */
  get served(): SharedConnection | undefined {
    return this.#served;
  }

  get features(): Features | undefined {
    return this.#features;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async ready(): Promise<void> {
    const connection = this.#connection;
    this.#served ??= connection instanceof PendingConnection
      ? await connection.resolved()
      : connection;
    this.#features ??= await this.#served.features();
  }

  // Acceptor

  arrived(address: string, expire: () => void): WaitingConnection | undefined {
    return this.#isClosed ? undefined : this.#admission.arrived(address, expire);
  }

  accept(
    info: PeerInfo,
    open: (observer: PipeObserver) => Pipe,
    newcomer?: WaitingConnection,
  ): void {
    this.peers.add(new HomePeer(this, info, open, newcomer));
  }

  // PeerHome

  admit(peer: HomePeer, hello: Frame): Admitted {
    const { info } = peer;
    try {
      const { name, session, token } = greetingOf(hello);
      if (this.#isClosed) throw refusal("the home is closed; connect again later", "limit");
      if (this.#secret !== undefined && this.#needsToken(info)) checkToken(token, this.#secret);
      const key = session && JSON.stringify([session, info.key ?? "", info.username ?? ""]);
      // A peer takes the place of its earlier connection, which may be half open.
      if (this.#admitted >= this.limits.peers && !this.sessions.isEntered(key)) {
        throw refusal(`the home has ${this.limits.peers} peers, its limit; connect later`, "limit");
      }
      const entered = this.sessions.enter(key, peer);
      this.#admitted++;
      this.log("debug", `${this.#described(peer, name)} has connected`);
      return { name, token, session: entered };
    } catch (error) {
      this.log("warn", `${this.#described(peer, "")} is refused: ${(error as Error).message}`);
      throw error;
    }
  }

  /** Reports whether a peer must send the secret: the server has not checked it. */
  #needsToken({ transport, username }: PeerInfo): boolean {
    if (transport === "zmq") return this.#hasKeys && username === undefined;
    return transport === "ws";
  }

  async open(name: string, options: Omit<LinkOptions, "retryTimeout">): Promise<ServedLink> {
    await this.ready();
    const retryTimeout = this.#served!.retryTimeout ?? defaultRetryTimeout;
    return await ServedLink.open(this.#served!, name, { ...options, retryTimeout });
  }

  /** Opens a link of the home's own channels. */
  async openOwn(name: string, options: LinkOptions): Promise<ServedLink> {
    await this.ready();
    const link = await ServedLink.open(this.#served!, name, options, (link) => {
      this.#own.delete(link);
      if (this.#own.size === 0) this.#onOwnClosed();
    });
    this.#own.add(link);
    return link;
  }

  /** Closes the home's own channels: their loops end. Resolves within a bounded time. */
  async #closeOwn(): Promise<void> {
    if (this.#own.size === 0) return;
    const closed = new Promise<void>((resolve) => this.#onOwnClosed = resolve);
    for (const link of [...this.#own]) link.end();
    await within(2 * closeTimeout, closed);
  }

  left(peer: HomePeer, reason: Error | undefined): void {
    this.peers.delete(peer);
    if (!peer.isAdmitted) return;
    this.#admitted--;
    this.sessions.leave(peer.session, peer);
    const why = reason === undefined ? "has disconnected" : `is disconnected: ${reason.message}`;
    this.log(reason === undefined ? "debug" : "warn", `${this.#described(peer, peer.name)} ${why}`);
  }

  shownError(error: unknown): string {
    if (!(error instanceof ChannelError)) {
      this.log("error", `a request of a peer failed: ${(error as Error)?.stack ?? error}`);
      return errorFields(error);
    }
    const unknown = error.messageId === undefined ? undefined : true;
    // The errors of the engine name its hosts, files and users; those of the home have no address.
    if (!(error instanceof ChannelConnectionError) || error.address === "") {
      const address = this.#served?.address ?? "";
      const isNamed = address !== "" && error.message.includes(address);
      return errorFields(isNamed ? renamed(error, address) : error, unknown);
    }
    this.log("warn", `a request of a peer failed: ${error.message}`);
    const { transient, reason } = error;
    const what = reason === undefined ? "cannot be reached" : `has refused (${reason})`;
    return errorFields(
      new ChannelConnectionError(`what the home serves ${what}; the log of the home says why`, {
        address: "",
        transient,
        ...reason === undefined ? {} : { reason },
      }),
      unknown,
    );
  }

  #described({ info }: HomePeer, name: string): string {
    const named = name === "" ? "" : ` ${JSON.stringify(name)}`;
    return `the peer${named} (${info.transport} ${info.address})`;
  }

  log(level: keyof Logger, text: string): void {
    this.#log.log(level, text);
  }

  /** Ends the connections: the peers are sent what was answered. Resolves within a bounded time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const stopped = this.servers.map((server) => server.close());
    this.#admission.close();
    const peers = [...this.peers];
    await within(
      2 * closeTimeout,
      Promise.all([this.#closeOwn(), ...peers.map((peer) => peer.close())]),
    );
    await Promise.all(stopped);
    this.sessions.close();
  }
}

/** Returns an error like `error` whose message does not name what the home serves. */
function renamed(error: ChannelError, address: string): ChannelError {
  const Same = error.constructor as new (message: string, options: object) => ChannelError;
  return new Same(error.message.replaceAll(address, "this home"), { ...error });
}

const receptions = new WeakMap<object, Reception>();

export function setReception(home: object, reception: Reception): void {
  receptions.set(home, reception);
}

/** Returns the reception of a home. */
export function receptionOf(home: object): Reception {
  return receptions.get(home)!;
}
