import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Sqlite } from "./database.ts";

/**
 * Shows that a session lives, by a lock on a file of its own. The system releases it in the moment in
 * which the process dies, however that happens, and never before: not while it computes for minutes, is
 * stopped, or the machine sleeps, as a lease in time would.
 *
 * The lock is SQLite's, for there is no other on every runtime. Nobody opens the file but by SQLite:
 * closing it would release the lock (POSIX `fcntl` locks belong to the process).
 */
export class Presence {
  readonly #file: string;
  readonly #lock: DatabaseSync;

  /** @param file a new one, for which nobody looks yet */
  constructor(sqlite: Sqlite, file: string) {
    this.#file = file;
    closeSync(openSync(file, "wx", 0o600));
    this.#lock = new sqlite.DatabaseSync(file);
    this.#lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  }

  end(): void {
    this.#lock.close();
    rmSync(this.#file, { force: true });
  }
}

/** Whether the session whose file this is may live: where that cannot be told, it does. */
export function isPresent(sqlite: Sqlite, file: string): boolean {
  let probe: DatabaseSync | undefined;
  try {
    probe = new sqlite.DatabaseSync(file, { readOnly: true });
    probe.exec("PRAGMA busy_timeout = 0");
    probe.prepare("SELECT 1 FROM sqlite_master").get();
    return false;
  } catch {
    return existsSync(file); // locked; or this process has no descriptor left, and cannot tell
  } finally {
    probe?.close();
  }
}
