import { rmSync } from "node:fs";
import { Pauses } from "../../../shared/pauses.ts";
import type { Sqlite } from "../file/database.ts";
import type { Peer } from "../file/sessions.ts";
import type { Store } from "../file/store.ts";
import { fileOf, isToken } from "../file/token.ts";
import { backgroundTimeout, type TransactionQueue } from "../file/transaction_queue.ts";
import { removeAbandonedFiles } from "./abandoned_files.ts";
import { lastAnswer, mayBeAlive } from "./liveness_lock.ts";
import { Waker } from "./wakeup_file.ts";

/** Milliseconds within which a session whose lock is free must answer a wake-up. */
const answerTime = 400;
/** The largest number of live sessions that one round checks; the next round continues with the others. */
const maxProbed = 8;

/** The parts of a session that its peers use. */
export interface PeersOptions {
  readonly sqlite: Sqlite;
  /** The path of the database. */
  readonly path: string;
  readonly store: Store;
  readonly transactions: TransactionQueue;
}

/** The other sessions of a file: wakes them, and removes those that were killed. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #waker = new Waker();
  readonly #tokens = new Map<number, string>();
  /** Sessions whose lock was found free, and that may still answer. */
  readonly #suspects = new Set<number>();
  readonly #pauses = new Pauses();
  /** The last session that a round has checked. */
  #lastProbed = 0;
  #isStopped = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /**
   * Removes all sessions that were killed. Resolves when that is done.
   *
   * @param own the id of this session: its rounds begin with the sessions after it
   */
  async start(own: number): Promise<void> {
    this.#lastProbed = own;
    const suspects = this.#options.store.sessions.peers().filter((peer) => !this.#isAlive(peer));
    await Promise.all(suspects.map((peer) => this.#suspect(peer, true)));
  }

  /** Checks the next sessions, and removes those that were killed. */
  probe(): void {
    const peers = this.#options.store.sessions.peers();
    this.#forgetAllBut(peers);
    const isNext = ({ id }: Peer) => id > this.#lastProbed;
    const inTurn = [...peers.filter(isNext), ...peers.filter((peer) => !isNext(peer))];
    let alive = 0;
    for (const peer of inTurn) {
      if (alive === maxProbed) break;
      this.#lastProbed = peer.id;
      if (this.#isAlive(peer)) alive++;
      else {
        this.#suspect(peer, false).catch((error) => this.#options.transactions.report(error));
      }
    }
  }

  /** Wakes another session, for which something was written. */
  wake(id: number): void {
    const { path, store, transactions } = this.#options;
    try {
      const token = this.#tokens.get(id) ?? store.sessions.tokenOf(id);
      if (!isToken(token)) return;
      this.#tokens.set(id, token);
      this.#waker.wake(fileOf(path, token, "bell"));
    } catch (error) {
      transactions.report(error); // the other session's next round finds what was written
    }
  }

  /** Removes files of killed processes that the database does not list. */
  removeFiles(own: string): void {
    const { sqlite, path, store } = this.#options;
    try {
      const tokens = store.sessions.peers().map(({ token }) => token);
      removeAbandonedFiles(sqlite, path, own, new Set(tokens));
    } catch {
      // another process was faster, or the files belong to another user
    }
  }

  /** Ends all waits for answers. */
  stop(): void {
    this.#isStopped = true;
    this.#pauses.end();
  }

  /** Closes the wake-up files of others. */
  close(): void {
    this.#waker.close();
  }

  /** Closes the wake-up files of sessions that are no longer in the file. */
  #forgetAllBut(peers: readonly Peer[]): void {
    const present = new Set(peers.map(({ id }) => id));
    for (const [id, token] of this.#tokens) {
      if (present.has(id)) continue;
      this.#tokens.delete(id);
      this.#waker.forget(fileOf(this.#options.path, token, "bell"));
    }
  }

  #isAlive({ token }: Peer): boolean {
    const { sqlite, path } = this.#options;
    return isToken(token) && mayBeAlive(sqlite, fileOf(path, token, "lock"));
  }

  /**
   * Removes a session whose lock is free, unless it answers: it may be alive and have lost its lock.
   *
   * @param keepsAlive whether the process stays alive meanwhile
   */
  async #suspect(peer: Peer, keepsAlive: boolean): Promise<void> {
    const { id } = peer;
    if (this.#suspects.has(id)) return;
    const before = this.#lastAnswer(peer);
    if (before !== undefined) {
      this.wake(id);
      this.#suspects.add(id);
      await this.#pauses.begin(answerTime, keepsAlive);
      this.#suspects.delete(id);
      if (this.#isStopped || this.#lastAnswer(peer) !== before || this.#isAlive(peer)) return;
    }
    await this.#remove(peer);
  }

  #lastAnswer({ token }: Peer): number | undefined {
    return isToken(token) ? lastAnswer(fileOf(this.#options.path, token, "lock")) : undefined;
  }

  /** Removes a session that was killed from the file, and its files. */
  async #remove({ id, token }: Peer): Promise<void> {
    const { path, store, transactions } = this.#options;
    await transactions.do(backgroundTimeout, () => {
      store.sessions.release(id);
      store.sessions.remove(id);
    }).catch((error) => transactions.report(error)); // the next round tries again
    if (!isToken(token)) return;
    for (const kind of ["lock", "bell"] as const) {
      try {
        rmSync(fileOf(path, token, kind), { force: true });
      } catch {
        // another process was faster, or the file belongs to another user
      }
    }
  }
}
