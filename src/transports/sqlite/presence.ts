import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
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

/** Milliseconds for which a process may be about to lock the file that it has made. */
const beginning = 10_000;

/**
 * Removes what processes left beside the file at `path` that were killed as they began or ended.
 *
 * @param tokens of the sessions that the file knows
 */
export function removeAbandoned(sqlite: Sqlite, path: string, tokens: ReadonlySet<string>): void {
  const start = `${basename(path)}-`;
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(start)) continue;
    const [, token] = /^([\da-f]{12})(?:\.lock|\.bell)?$/.exec(name.slice(start.length)) ?? [];
    if (token === undefined || tokens.has(token)) continue;
    const file = join(dirname(path), name);
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined || Date.now() - found.mtimeMs < beginning) continue;
    if (!isPresent(sqlite, `${path}-${token}.lock`)) rmSync(file, { force: true });
  }
}
