import { setImmediate } from "node:timers";
import { isBusy } from "../failure.ts";
import { UnpreparedError } from "./statements.ts";
import type { Store } from "./store.ts";

/** About the largest number of messages that one transaction puts or takes; meanwhile no other session writes. */
export const maxMessages = 500;
/** About the largest number of bytes that one transaction puts or takes. */
export const maxBytes: number = 4 << 20;

/** Milliseconds after which a locked file is a problem, and not only other sessions at work. */
const noticeableDelay = 200;

/** Milliseconds for which a transaction waits while the file is locked, if no operation waits for it. */
export const backgroundTimeout = 500;

/** A part of a transaction. */
export interface Task {
  /** Milliseconds for which the task waits while the file is locked. */
  readonly busyTimeout: number;
  /** Runs within the transaction. It must not change memory: the transaction may fail, or be repeated. */
  write(): void;
  /** Called after the commit. */
  written(): void;
  /** Called if the transaction failed, or the file stayed locked for too long; never after `written`. */
  failed(error: unknown): void;
}

/** An observer of all transactions. */
export interface TransactionObserver {
  /** A transaction has begun, perhaps anew: other sessions cannot write, and this session has written nothing. */
  begun(): void;
  /** The transaction is committed, and these sessions must be woken. */
  committed(woken: ReadonlySet<number>): void;
  /** The transaction is over, committed or failed, and its tasks have been notified. */
  done(): void;
}

/**
 * The queue of tasks that write to the file. All tasks of one turn of the event loop share one transaction. If
 * another process has the file locked, the queue tries again a moment later: SQLite's own waiting would block
 * the event loop, and is unfair.
 *
 * Invariants: tasks run in the order in which they were first scheduled, each once in a transaction. While the
 * queue has a task, a timer or an immediate is pending that runs it and keeps the process alive.
 */
export class TransactionQueue {
  /** The last error that kept the session from using the file; undefined while all is well. */
  trouble: unknown;
  readonly #store: Store;
  readonly #observer: TransactionObserver;
  readonly #tasks = new Set<Task>();
  #isScheduled = false;
  /** When the file was first found locked; undefined if it was not. */
  #lockedSince: number | undefined;

  constructor(store: Store, observer: TransactionObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  schedule(task: Task): void {
    this.#tasks.add(task);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  /**
   * Runs `write` in a transaction. Resolves with its result after the commit.
   *
   * @param committed called before anything else is written or read
   */
  do<T>(busyTimeout: number, write: () => T, committed?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: T;
      this.schedule({
        busyTimeout,
        write: () => result = write(),
        written: () => {
          committed?.();
          resolve(result);
        },
        failed: reject,
      });
    });
  }

  /** Runs all tasks now. Reports whether that succeeded. */
  flush(): boolean {
    const tasks = [...this.#tasks];
    let current: Task | undefined;
    try {
      this.#store.begin();
    } catch (error) {
      this.#retryLater(error);
      return false;
    }
    try {
      this.#observer.begun();
      this.#store.messages.applyTime();
      for (current of tasks) current.write();
      current = undefined;
      this.#store.commit();
    } catch (error) {
      this.#store.rollback();
      if (error instanceof UnpreparedError) return this.#prepare(error.sql) && this.flush();
      this.#fail(error, current);
      this.#observer.done();
      return false;
    }
    this.trouble = this.#lockedSince = undefined;
    this.#tasks.clear();
    this.#observer.committed(new Set(this.#store.woken));
    for (const task of tasks) task.written();
    this.#observer.done();
    return true;
  }

  /** Records an error that the session met outside of a transaction, unless the file is only locked for a moment. */
  report(error: unknown): void {
    if (!isBusy(error)) this.trouble = error;
  }

  /** Reports whether that succeeded: another program may have changed the tables. */
  #prepare(sql: string): boolean {
    try {
      this.#store.prepare(sql);
      return true;
    } catch (error) {
      this.#retryLater(error);
      return false;
    }
  }

  readonly #run = (): void => {
    this.#isScheduled = false;
    if (this.#tasks.size > 0) this.flush();
  };

  /** Schedules another attempt, and fails the tasks whose `busyTimeout` is over. */
  #retryLater(error: unknown): void {
    if (!isBusy(error)) return this.#fail(error);
    const now = performance.now();
    const waited = now - (this.#lockedSince ??= now);
    if (waited > noticeableDelay) this.trouble = error;
    for (const task of [...this.#tasks]) {
      if (waited < task.busyTimeout || !this.#tasks.delete(task)) continue;
      task.failed(error);
    }
    if (this.#tasks.size === 0) {
      this.#lockedSince = undefined;
    } else if (!this.#isScheduled) {
      this.#isScheduled = true;
      // A transaction takes about 0.1 ms, and a timer at least 1 ms.
      if (waited < 1) setImmediate(this.#run);
      else setTimeout(this.#run, Math.random() * 3);
    }
  }

  /** @param culprit the task whose `write` threw; if undefined, all tasks fail */
  #fail(error: unknown, culprit?: Task): void {
    const failed = culprit === undefined ? [...this.#tasks] : [culprit];
    if (culprit === undefined) this.trouble = error;
    for (const task of failed) this.#tasks.delete(task);
    for (const task of failed) task.failed(error);
    for (const task of this.#tasks) this.schedule(task);
  }
}
