import { setImmediate } from "node:timers";
import { isBusy } from "../failure.ts";
import { UnpreparedError } from "./statements.ts";
import type { Store } from "./store.ts";

/** About how much is put, or taken, in one transaction: no other writes meanwhile. */
export const mostMessages = 500;
export const mostBytes: number = 4 << 20;

/** What is done in one transaction with whatever else waits to be written. */
export interface Task {
  /** Milliseconds for which it waits while the file is locked. */
  readonly patience: number;
  /** Within the transaction; it must leave memory as it is, for the transaction may fail, or be done again. */
  write(): void;
  /** The transaction is done. */
  written(): void;
  /** It failed, or the file stayed locked for too long. Never called after `written`. */
  failed(error: unknown): void;
}

/** Who is told of transactions. */
export interface WriterObserver {
  /** One has begun, or begun again: nobody else writes, and nothing has been written yet. */
  begun(): void;
  /** It is in the file; these sessions must be woken. */
  committed(woken: ReadonlySet<number>): void;
  /** It is over, done or failed, and its tasks know. */
  done(): void;
}

/**
 * Writes all that is due in one turn of the event loop in one transaction. While another process
 * writes, it tries again a moment later: SQLite's own waiting would block the event loop, and is unfair.
 *
 * Invariants: tasks run in the order in which they were first scheduled, each once in a transaction.
 * While there are any, something keeps the process alive that will run them.
 */
export class Writer {
  /** Why nothing can be written at the moment; undefined while all is well. */
  trouble: unknown;
  readonly #store: Store;
  readonly #watch: WriterObserver;
  readonly #tasks = new Set<Task>();
  #isDue = false;
  /** When the file was first found locked; undefined where it was not. */
  #lockedSince: number | undefined;

  constructor(store: Store, watch: WriterObserver) {
    this.#store = store;
    this.#watch = watch;
  }

  schedule(task: Task): void {
    this.#tasks.add(task);
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#run);
  }

  /**
   * Does `write` in a transaction; resolves with what it returns, when that is in the file.
   *
   * @param done called before anything else is written or read
   */
  do<T>(patience: number, write: () => T, done?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: T;
      this.schedule({
        patience,
        write: () => result = write(),
        written: () => {
          done?.();
          resolve(result);
        },
        failed: reject,
      });
    });
  }

  /** Writes now what is due; whether that worked. */
  flush(): boolean {
    const tasks = [...this.#tasks];
    let current: Task | undefined;
    try {
      this.#store.begin();
    } catch (error) {
      this.#defer(error);
      return false;
    }
    try {
      this.#watch.begun();
      this.#store.ripen();
      for (current of tasks) current.write();
      current = undefined;
      this.#store.commit();
    } catch (error) {
      this.#store.rollback();
      if (error instanceof UnpreparedError) return this.#prepare(error.sql) && this.flush();
      this.#fail(error, current);
      this.#watch.done();
      return false;
    }
    this.trouble = this.#lockedSince = undefined;
    this.#tasks.clear();
    this.#watch.committed(new Set(this.#store.woken));
    for (const task of tasks) task.written();
    this.#watch.done();
    return true;
  }

  /** Whether that worked: another program may have changed the tables. */
  #prepare(sql: string): boolean {
    try {
      this.#store.prepare(sql);
      return true;
    } catch (error) {
      this.#defer(error);
      return false;
    }
  }

  readonly #run = (): void => {
    this.#isDue = false;
    if (this.#tasks.size > 0) this.flush();
  };

  /** Tries again later; gives up what has waited for too long. */
  #defer(error: unknown): void {
    if (!isBusy(error)) return this.#fail(error);
    const now = performance.now();
    const waited = now - (this.#lockedSince ??= now);
    if (waited > noticeable) this.trouble = error;
    for (const task of [...this.#tasks]) {
      if (waited < task.patience || !this.#tasks.delete(task)) continue;
      task.failed(error);
    }
    if (this.#tasks.size === 0) {
      this.#lockedSince = undefined;
    } else if (!this.#isDue) {
      this.#isDue = true;
      // A transaction mostly takes a tenth of a millisecond, and a timer one at least.
      if (waited < 1) setImmediate(this.#run);
      else setTimeout(this.#run, Math.random() * 3);
    }
  }

  /** @param culprit whose `write` threw; undefined where it is everyone's matter */
  #fail(error: unknown, culprit?: Task): void {
    const failed = culprit === undefined ? [...this.#tasks] : [culprit];
    if (culprit === undefined) this.trouble = error;
    for (const task of failed) this.#tasks.delete(task);
    for (const task of failed) task.failed(error);
    for (const task of this.#tasks) this.schedule(task); // the others once more
  }
}

/** Milliseconds from which on a lock is more than others at work. */
const noticeable = 200;
