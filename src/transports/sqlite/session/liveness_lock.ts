import { closeSync, existsSync, lstatSync, openSync, rmSync, utimesSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Sqlite } from "../file/database.ts";

/** The least number of milliseconds between two renewals. */
const minRenewal = 50;

/**
 * A lock on a file of the session's own, which shows that the session is alive. The system releases it at the
 * moment at which the process dies, however that happens; a process that computes for minutes or is stopped, or
 * whose machine sleeps, keeps it. A lease in time has neither property.
 *
 * It is a lock of SQLite, because the runtimes have no other in common. A POSIX `fcntl` lock belongs to the
 * process, and closing any descriptor of the file releases it: a program that reads the files of its own database,
 * for example to copy their directory, releases the lock. Therefore the session takes the lock anew from time to
 * time. A session that finds the lock of another free wakes that session, which answers by changing the file's
 * time.
 */
export class LivenessLock {
  readonly #file: string;
  readonly #lock: DatabaseSync;
  #isLocked = true;
  #renewed = performance.now();

  /** @param file a new file, which no other session knows yet */
  constructor(sqlite: Sqlite, file: string) {
    this.#file = file;
    closeSync(openSync(file, "wx", 0o600));
    this.#lock = new sqlite.DatabaseSync(file);
    this.#lock.exec("PRAGMA busy_timeout = 10; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  }

  /**
   * Takes the lock anew, unless it was renewed within the last 50 ms.
   *
   * @param isAsked whether another session may wait for an answer
   * @throws if another process keeps the lock busy; the next call tries again
   */
  renew(isAsked: boolean): void {
    if (performance.now() - this.#renewed < minRenewal) return;
    this.#renewed = performance.now();
    if (isAsked) utimesSync(this.#file, new Date(), new Date()); // by name, so that no descriptor is closed
    if (this.#isLocked) this.#lock.exec("COMMIT");
    this.#isLocked = false;
    this.#lock.exec("BEGIN EXCLUSIVE");
    this.#isLocked = true;
  }

  /** Releases the lock, and removes its file. */
  release(): void {
    this.#lock.close();
    rmSync(this.#file, { force: true });
  }
}

/** Reports whether the session that owns a lock file may be alive. It reports true if that cannot be determined. */
export function mayBeAlive(sqlite: Sqlite, file: string): boolean {
  let probe: DatabaseSync | undefined;
  try {
    probe = new sqlite.DatabaseSync(file, { readOnly: true });
    probe.exec("PRAGMA busy_timeout = 0");
    probe.prepare("SELECT 1 FROM sqlite_master").get();
    return false;
  } catch {
    return existsSync(file); // it is locked, or this process has no more descriptors and cannot determine it
  } finally {
    probe?.close();
  }
}

/** Returns the time of a session's last answer, or of its start; undefined if its lock file is gone. */
export function lastAnswer(file: string): number | undefined {
  return lstatSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
