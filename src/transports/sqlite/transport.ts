import { missingError } from "../../shared/closed_errors.ts";
import { unref } from "../../shared/timers.ts";
import { newStats } from "../stats.ts";
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
import { busyTimeoutOf, SqliteLink } from "./link/link.ts";
import { FileSession } from "./session/session.ts";
import { parseSqliteUri, type SqliteUri } from "./uri.ts";

/** Milliseconds for which a session stays open after its last link. */
const restTime = 25;

/**
 * Channels between the threads and processes of one machine, in a file of the runtime's own SQLite.
 *
 * A message that was put is in the file, and survives the end of every process. The parameter `synchronous` of the
 * URI determines whether it survives a loss of power at the same moment.
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
  /** The session, open or being opened. */
  #session: Promise<FileSession> | undefined;
  #opened: FileSession | undefined;
  #leaving: Promise<void> | undefined;
  /** The number of links that are being opened. */
  #opening = 0;
  #restTimer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {ChannelConfigError} for an invalid URI */
  constructor(uri: string, watcher?: ConnectionWatcher) {
    this.#uri = parseSqliteUri(uri);
    this.#watcher = watcher;
    this.address = this.#uri.address;
  }

  get trouble(): Error | undefined {
    const trouble = this.#opened?.transactions.trouble;
    return trouble === undefined ? undefined : failure("use", this.#uri.path, trouble);
  }

  async open(name: string, options: LinkOptions): Promise<Link> {
    this.#opening++;
    try {
      const session = await this.#openSession(busyTimeoutOf(options));
      return await this.#attach(session, name, options);
    } catch (error) {
      throw failure("connect", this.#uri.path, error);
    } finally {
      this.#opening--;
    }
  }

  rest(): void {
    clearTimeout(this.#restTimer);
    if (this.#opened === undefined) return;
    this.#restTimer = setTimeout(() => {
      const session = this.#opened;
      if (this.#opening === 0 && session?.isIdle) this.#leave(session);
    }, restTime);
    unref(this.#restTimer);
  }

  #leave(session: FileSession): void {
    this.#session = this.#opened = undefined;
    this.#leaving = session.leave();
  }

  async #openSession(busyTimeout: number): Promise<FileSession> {
    if (this.#opened?.isLost) this.#leave(this.#opened);
    await this.#leaving;
    const opening = this.#session ??= FileSession.open(this.#uri, busyTimeout);
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

  async #attach(session: FileSession, name: string, options: LinkOptions): Promise<Link> {
    const { channels, messages } = session.store;
    const link = await session.transactions.do(busyTimeoutOf(options), () => {
      options.signal.throwIfAborted();
      let channel = channels.find(name);
      if (channel === undefined) {
        if (!options.create) throw missingError(name);
        channel = channels.create(name, options.lease, options.capacity);
      }
      messages.releaseAll(channel); // the messages of a link that could not write so when it was closed
      const heard = channels.attach(channel);
      return new SqliteLink({ channel, name, heard }, options, session, this.stats);
    });
    session.attach(link);
    return link;
  }
}
