import { missingError } from "../../shared/closed_errors.ts";
import { newStats } from "../stats.ts";
import { unref } from "../../shared/timers.ts";
import type {
  ConnectionWatcher,
  Features,
  Link,
  LinkOptions,
  Reach,
  Stats,
  Transport,
} from "../transport.ts";
import { failure } from "./failure.ts";
import { patienceOf, SqliteLink } from "./link/link.ts";
import { Session } from "./session/session.ts";
import { parseSqliteUri, type SqliteUri } from "./uri.ts";

/** Milliseconds for which a session stays after its last link. */
const restTime = 25;

/**
 * Channels between the threads and processes of one machine, in a file of the runtime's own SQLite.
 *
 * What was put is in the file, and survives the end of every process; whether it survives a loss of power
 * in the same moment is a matter of `synchronous`.
 */
export class SqliteTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "machine";
  readonly features: Features = {
    shared: true,
    terms: ["delay", "expires", "priority"],
    rendezvous: true,
  };
  readonly stats: Stats = newStats();
  readonly #uri: SqliteUri;
  readonly #watcher: ConnectionWatcher | undefined;
  #session: Promise<Session> | undefined;
  #opened: Session | undefined;
  #leaving: Promise<void> | undefined;
  /** How many links are being opened. */
  #opening = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;

  /** @throws {ChannelConfigError} for a URI that is none */
  constructor(uri: string, watcher?: ConnectionWatcher) {
    this.#uri = parseSqliteUri(uri);
    this.#watcher = watcher;
    this.address = this.#uri.address;
  }

  get trouble(): Error | undefined {
    const trouble = this.#opened?.writer.trouble;
    return trouble === undefined ? undefined : failure("use", this.#uri.path, trouble);
  }

  async open(name: string, options: LinkOptions): Promise<Link> {
    this.#opening++;
    try {
      const session = await this.#use(patienceOf(options));
      return await this.#attach(session, name, options);
    } catch (error) {
      throw failure("connect", this.#uri.path, error);
    } finally {
      this.#opening--;
    }
  }

  rest(): void {
    clearTimeout(this.#rest);
    if (this.#opened === undefined) return;
    this.#rest = setTimeout(() => {
      const session = this.#opened;
      if (this.#opening === 0 && session?.isIdle) this.#leave(session);
    }, restTime);
    unref(this.#rest);
  }

  #leave(session: Session): void {
    this.#session = this.#opened = undefined;
    this.#leaving = session.leave();
  }

  async #use(patience: number): Promise<Session> {
    if (this.#opened?.isLost) this.#leave(this.#opened);
    await this.#leaving;
    const opening = this.#session ??= Session.open(this.#uri, patience);
    try {
      const session = await opening;
      if (this.#session === opening && this.#opened === undefined) {
        this.#opened = session;
        this.#watcher?.connected(false);
      }
      return session;
    } catch (error) {
      if (this.#session === opening) this.#session = undefined;
      throw error;
    }
  }

  async #attach(session: Session, name: string, options: LinkOptions): Promise<Link> {
    const { store } = session;
    const link = await session.writer.do(patienceOf(options), () => {
      options.signal.throwIfAborted();
      let channel = store.find(name);
      if (channel === undefined) {
        if (!options.create) {
          throw missingError(name);
        }
        channel = store.create(name, options.lease, options.capacity);
      }
      store.releaseAll(channel); // of a link that could not be closed in order
      const heard = store.attach(channel);
      return new SqliteLink(channel, heard, name, options, session, this.stats);
    });
    session.attach(link);
    return link;
  }
}
