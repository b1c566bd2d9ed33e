import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  utimesSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Sqlite } from "../file/database.ts";
import { type FileKind, fileOf, readName } from "../file/token.ts";

/**
 * Shows that a session lives, by a lock on a file of its own. The system releases it in the moment in
 * which the process dies, however that happens: not while it computes for minutes, is stopped, or the
 * machine sleeps, as a lease in time would.
 *
 * The lock is SQLite's, for there is no other on every runtime. POSIX `fcntl` locks belong to the process,
 * and closing any descriptor of the file releases them: a program that reads the files of its own database,
 * such as one that copies their directory, takes the lock away. So it is taken anew now and then, and who
 * finds it free asks by the bell first: the file's time is the answer.
 */
export class Presence {
  readonly #file: string;
  readonly #lock: DatabaseSync;
  #isLocked = true;
  #since = performance.now();

  /** @param file a new one, for which nobody looks yet */
  constructor(sqlite: Sqlite, file: string) {
    this.#file = file;
    closeSync(openSync(file, "wx", 0o600));
    this.#lock = new sqlite.DatabaseSync(file);
    this.#lock.exec("PRAGMA busy_timeout = 10; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  }

  /**
   * Takes the lock anew, unless that was done a moment ago.
   *
   * @param isAsked whether another may have found it free, and waits for an answer
   * @throws where another keeps it busy; the next call tries again
   */
  renew(isAsked: boolean): void {
    if (performance.now() - this.#since < shortest) return;
    this.#since = performance.now();
    if (isAsked) utimesSync(this.#file, new Date(), new Date()); // by its name: nothing is closed
    if (this.#isLocked) this.#lock.exec("COMMIT");
    this.#isLocked = false;
    this.#lock.exec("BEGIN EXCLUSIVE");
    this.#isLocked = true;
  }

  end(): void {
    this.#lock.close();
    rmSync(this.#file, { force: true });
  }
}

/** Milliseconds from one renewal to the next, at least. */
const shortest = 50;

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

/** When a session's file was made, or its session has last answered; undefined where it is gone. */
export function lastAnswer(file: string): number | undefined {
  return lstatSync(file, { throwIfNoEntry: false })?.mtimeMs;
}

/** Milliseconds for which a process may be about to lock the file that it has made. */
const beginning = 10_000;

/**
 * Removes what processes left beside the file at `path` that were killed as they began or ended. Whatever a
 * user may have put there stays: only a regular file of this user's goes, that has the name of a session's
 * file and holds nothing but what a session writes there.
 *
 * @param own the token of a session of this process
 * @param others the tokens of the other sessions that the file knows
 */
export function removeAbandoned(
  sqlite: Sqlite,
  path: string,
  own: string,
  others: ReadonlySet<string>,
): void {
  const { uid } = lstatSync(fileOf(path, own, "lock"));
  for (const name of readdirSync(dirname(path))) {
    const found = readName(basename(path), name);
    if (found === undefined || found.token === own || others.has(found.token)) continue;
    const file = join(dirname(path), name);
    if (!isAbandoned(file, found.kind, path, uid)) continue;
    if (!isPresent(sqlite, fileOf(path, found.token, "lock"))) rmSync(file, { force: true });
  }
}

/** Whether a file is old enough, and holds what a session writes there. Nothing that may be locked is opened. */
function isAbandoned(file: string, kind: FileKind, path: string, uid: number): boolean {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.uid !== uid) return false;
  if (kind === "new") {
    // A second name of the database itself, or what was to become it.
    const database = lstatSync(path, { throwIfNoEntry: false });
    if (database !== undefined && database.ino === stat.ino && database.dev === stat.dev) {
      return true;
    }
  }
  if (Date.now() - stat.mtimeMs < beginning) return false;
  return stat.size === 0 || kind === "bell" && stat.size === 1 && isStroke(file);
}

/** Whether a bell was rung, and is no file of one byte that says something else. */
function isStroke(file: string): boolean {
  const byte = new Uint8Array(1);
  const descriptor = openSync(file, "r");
  try {
    return readSync(descriptor, byte, 0, 1, 0) === 1 && byte[0] === 0x2e;
  } finally {
    closeSync(descriptor);
  }
}
