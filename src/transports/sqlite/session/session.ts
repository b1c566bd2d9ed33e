import { realpathSync, statSync } from "node:fs";
import process from "node:process";
import { KeepAlive } from "../../../shared/keep_alive.ts";
import { unref } from "../../../shared/timers.ts";
import type { Correction } from "../file/clock.ts";
import { type DatabaseOptions, loadSqlite, openDatabase, type Sqlite } from "../file/database.ts";
import { Store } from "../file/store.ts";
import { fileOf, newToken } from "../file/token.ts";
import { backgroundTimeout, TransactionQueue } from "../file/transaction_queue.ts";
import { DueTimer } from "./due_timer.ts";
import { Inbox } from "./inbox.ts";
import { LivenessLock } from "./liveness_lock.ts";
import { Peers } from "./peers.ts";
import type { SessionLink } from "./session_link.ts";
import { WakeupFile } from "./wakeup_file.ts";

/** Milliseconds between two rounds; a killed session is found within two. */
const roundTime = 500;
/** The same if the wake-up file is not watched: messages are noticed in a round. */
const pollTime = 20;
/** Milliseconds for which the exit of the process waits for a locked file. */
const exitTimeout = 200;
/** Milliseconds for which leaving the file in order waits for a locked file, in each step. */
const leaveTimeout = 1000;
/** Milliseconds between the checks after a wake-up: on a busy machine the next wake-up may be late. */
const checkPauses = [2, 6, 12, 30];

/**
 * The use of a file by a process or a thread, from its first link until shortly after its last. A session has a row
 * in the file, to which links and messages refer; a lock, which shows that it is alive; and a wake-up file.
 *
 * Invariants: the session holds the lock from before its row exists until no other row refers to it. It notices
 * what other sessions have written for it after their wake-up, and at the latest in the next round.
 */
export class FileSession {
  readonly path: string;
  readonly store: Store;
  readonly transactions: TransactionQueue;
  readonly inbox: Inbox;
  readonly #peers: Peers;
  readonly #lock: LivenessLock;
  readonly #wakeupFile: WakeupFile;
  readonly #dueTimer: DueTimer;
  readonly #token = newToken();
  readonly #links = new Map<number, SessionLink>();
  #id = 0;
  #rounds: ReturnType<typeof setInterval> | undefined;
  /** The timer of the next check after this session has written something for itself. */
  #checkTimer: ReturnType<typeof setTimeout> | undefined;
  /** The timer of the next check after a wake-up. */
  #recheckTimer: ReturnType<typeof setTimeout> | undefined;
  /** The number of checks since the last wake-up. */
  #rechecks = 0;
  #holds = 0;
  readonly #keepAlive = new KeepAlive();
  #isOver = false;
  #isLost = false;
  /** The device and inode of the file. */
  readonly #identity: string | undefined;

  /** Opens the file, and removes sessions that were killed. */
  static async open(options: DatabaseOptions, busyTimeout: number): Promise<FileSession> {
    const sqlite = await loadSqlite();
    const store = new Store(await openDatabase(sqlite, options, busyTimeout));
    let session: FileSession | undefined;
    try {
      // All sessions must use the same names for the locks and wake-up files of others.
      session = new FileSession(realpathSync(options.path), sqlite, store);
      await session.#enter(busyTimeout);
      return session;
    } catch (error) {
      if (session === undefined) store.close();
      else session.#end();
      throw error;
    }
  }

  private constructor(path: string, sqlite: Sqlite, store: Store) {
    this.path = path;
    this.#identity = identityOf(path);
    this.store = store;
    const transactions = this.transactions = new TransactionQueue(store, {
      begun: () => this.inbox.transactionBegun(),
      committed: (woken) => {
        if (store.delayed.hasGrown) this.#dueTimer.update();
        this.#wake(woken);
      },
      done: () => this.inbox.transactionDone(),
    });
    this.inbox = new Inbox(store, transactions, this.#links);
    this.#peers = new Peers({ sqlite, path, store, transactions });
    this.#dueTimer = new DueTimer(store, transactions);
    this.#lock = new LivenessLock(sqlite, fileOf(path, this.#token, "lock"));
    try {
      this.#wakeupFile = new WakeupFile(fileOf(path, this.#token, "bell"), () => this.#woken());
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  async #enter(busyTimeout: number): Promise<void> {
    this.#id = await this.transactions.do(busyTimeout, () => {
      this.store.clock.start();
      return this.store.sessions.enter(this.#token);
    });
    await this.#peers.start(this.#id);
    if (this.store.channels.needsSweep()) await this.#sweep();
    this.#dueTimer.update();
    this.#peers.removeFiles(this.#token);
    this.#rounds = setInterval(
      () => this.#round(),
      this.#wakeupFile.isWatched ? roundTime : pollTime,
    );
    unref(this.#rounds);
    process.setMaxListeners(process.getMaxListeners() + 1); // one for each file is not a leak
    process.on("exit", this.#leaveNow);
  }

  attach(link: SessionLink): void {
    this.#links.set(link.channel, link);
    this.inbox.readAnnouncements(link); // mail may have arrived before the link was known
  }

  detach(link: SessionLink): void {
    if (this.#links.get(link.channel) === link) this.#links.delete(link.channel);
  }

  /** Whether the file was removed, and its channels with it. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get isIdle(): boolean {
    return this.#links.size === 0;
  }

  /** Adds to a count that keeps the process alive while it is positive. */
  hold(by: 1 | -1): void {
    this.#holds += by;
    this.#keepAlive.set(this.#holds > 0);
  }

  /** Passes to the links what other sessions have written. Returns false if the file is locked. */
  check(): boolean {
    return this.#isOver || this.inbox.check();
  }

  /**
   * Removes this session from the file. Its row goes last: if the process is killed before that, other sessions
   * find the row without a lock, and remove it.
   */
  async leave(): Promise<void> {
    const { sessions } = this.store;
    await this.transactions.do(leaveTimeout, () => sessions.release(this.#id)).catch(() => {}); // others do it
    this.#stop();
    await this.transactions.do(leaveTimeout, () => sessions.remove(this.#id)).catch(() => {});
    this.#end();
  }

  /** The process exits: only synchronous code still runs. */
  readonly #leaveNow = (): void => {
    const { sessions } = this.store;
    for (const link of this.#links.values()) link.resume();
    const deadline = performance.now() + exitTimeout;
    this.#writeBy(deadline, () => sessions.release(this.#id));
    this.#stop();
    this.#writeBy(deadline, () => sessions.remove(this.#id));
    this.#end();
  };

  #writeBy(deadline: number, write: () => void): void {
    this.transactions.do(exitTimeout, write).catch(() => {});
    while (!this.transactions.flush() && performance.now() < deadline);
  }

  #end(): void {
    this.#stop();
    this.#peers.close();
    this.store.close();
  }

  /** Stops all activity. From now on, other sessions take this one for dead. */
  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#rounds !== undefined) {
      process.setMaxListeners(process.getMaxListeners() - 1);
      process.off("exit", this.#leaveNow);
    }
    clearInterval(this.#rounds);
    this.#keepAlive.set(false);
    clearTimeout(this.#checkTimer);
    clearTimeout(this.#recheckTimer);
    this.#dueTimer.stop();
    this.#peers.stop();
    this.#lock.release();
    this.#wakeupFile.close();
  }

  #wake(sessions: ReadonlySet<number>): void {
    for (const id of sessions) {
      if (id === this.#id) this.#checkSoon(0);
      else this.#peers.wake(id);
    }
  }

  #woken(): void {
    this.#renewLock(true);
    this.check();
    this.#rechecks = 0;
    this.#checkAgain();
  }

  /** Checks a few times more after a wake-up. */
  #checkAgain(): void {
    if (this.#recheckTimer !== undefined || this.#rechecks === checkPauses.length) return;
    this.#recheckTimer = setTimeout(() => {
      this.#recheckTimer = undefined;
      this.check();
      this.#checkAgain();
    }, checkPauses[this.#rechecks++]);
    unref(this.#recheckTimer);
  }

  /** Checks after a number of milliseconds, and again until the file is not locked. */
  #checkSoon(ms: number): void {
    this.#checkTimer ??= setTimeout(() => {
      this.#checkTimer = undefined;
      if (!this.check()) this.#checkSoon(1);
    }, ms);
  }

  /** Takes the lock anew, in case this process has lost it. */
  #renewLock(isAsked: boolean): void {
    try {
      this.#lock.renew(isAsked);
    } catch (error) {
      this.transactions.report(error); // the next round tries again
    }
  }

  #round(): void {
    this.#wakeupFile.unref();
    this.#renewLock(!this.#wakeupFile.isWatched);
    try {
      if (identityOf(this.path) !== this.#identity || !this.store.sessions.isEntered) {
        return this.#lose();
      }
      this.#checkClock();
      this.check();
      this.inbox.recordHeard();
      this.#dueTimer.update();
      for (const link of this.#links.values()) link.resume();
      this.#peers.probe();
      if (this.store.channels.needsSweep()) this.#sweep();
      this.#releaseOrphans();
    } catch (error) {
      this.transactions.report(error);
    }
  }

  /** Corrects the file's clock if the machine's clock was set. */
  #checkClock(): void {
    const { clock } = this.store;
    if (!clock.isWrong) return;
    let correction: Correction;
    this.transactions.do(backgroundTimeout, () => {
      correction = clock.correct();
    }, () => {
      clock.apply(correction);
      this.#dueTimer.update();
    }).catch((error) => this.transactions.report(error)); // the next round tries again
  }

  /** The file at the path is another one, or other sessions have removed this one, because its lock was removed. */
  #lose(): void {
    this.#isLost = true;
    for (const link of [...this.#links.values()]) link.channelGone();
  }

  /** Releases the messages of links that could not write so when they were closed, as the file was locked. */
  #releaseOrphans(): void {
    const { messages } = this.store;
    const orphaned = () => messages.heldChannels().filter((channel) => !this.#links.has(channel));
    if (orphaned().length === 0) return;
    this.transactions.do(backgroundTimeout, () => {
      for (const channel of orphaned()) messages.releaseAll(channel);
    }).catch((error) => this.transactions.report(error)); // the next round tries again
  }

  async #sweep(): Promise<void> {
    const { channels } = this.store;
    const hasMore = await this.transactions.do(backgroundTimeout, () => channels.sweep())
      .catch(() => false);
    if (hasMore && !this.#isOver) await this.#sweep();
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino}`;
}
