import { setTimeout as pause } from "node:timers/promises";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { isGranted } from "../../../shared/host.ts";
import { ChannelConfigError } from "../../../shared/errors.ts";
import { failure, isBusy } from "../failure.ts";
import { applicationId, migrations } from "./schema.ts";
import { fileOf, newToken } from "./token.ts";

export type Sqlite = typeof import("node:sqlite");

/** How a database is opened. */
export interface DatabaseOptions {
  readonly path: string;
  /** Whether the directory is created if it is missing. */
  readonly isDefault: boolean;
  /** Whether each put survives a loss of power, at a third of the speed. */
  readonly isFull: boolean;
}

/** Loads the runtime's own SQLite. */
export async function loadSqlite(): Promise<Sqlite> {
  try {
    return await import("node:sqlite");
  } catch (cause) {
    throw new ChannelConfigError(
      "connect: sqlite: needs the module node:sqlite; use Deno 2.2, Bun 1.4 or Node 22.13, or later",
      { cause },
    );
  }
}

/**
 * Opens the database at a path, creates it if it is missing, and migrates it to the current schema.
 *
 * @param busyTimeout milliseconds for which others may keep it locked
 * @throws {ChannelConfigError} if the file is something else, or has a newer schema; it is left unchanged
 */
export async function openDatabase(
  sqlite: Sqlite,
  options: DatabaseOptions,
  busyTimeout: number,
  steps: readonly string[] = migrations,
): Promise<DatabaseSync> {
  const { path } = options;
  const deadline = performance.now() + busyTimeout;
  checkGranted(path);
  let db: DatabaseSync | undefined;
  try {
    createFile(options);
    await retryWhileBusy(deadline, () => checkFile(sqlite, path, steps.length));
    db = new sqlite.DatabaseSync(path);
    const opened = db;
    opened.exec("PRAGMA busy_timeout = 0"); // SQLite's own waiting would block the event loop
    await retryWhileBusy(deadline, () => setMode(opened, options));
    await retryWhileBusy(deadline, () => migrate(opened, steps));
    return opened;
  } catch (error) {
    db?.close();
    throw failure("connect", path, error);
  }
}

/** Calls `act`, and repeats it while the file is locked, until `deadline`. */
export async function retryWhileBusy<T>(deadline: number, act: () => T): Promise<T> {
  for (;;) {
    try {
      return act();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
    }
    await pause(Math.random() * 4);
  }
}

/** Throws if Deno would prompt for a permission. */
function checkGranted(path: string): void {
  const directory = dirname(path);
  for (const name of ["read", "write"] as const) {
    if (isGranted({ name, path: directory })) continue;
    throw new ChannelConfigError(
      `connect: the permission to ${name} ${path} is not granted; ` +
        `allow it with --allow-read=${directory} and --allow-write=${directory}`,
    );
  }
}

/** Returns what is at a path; undefined if there is nothing, or a part of the path is not a directory. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Creates an empty file that only this user may read, unless there is one. */
function createFile({ path, isDefault }: DatabaseOptions): void {
  const found = statOf(path);
  if (found?.isFile()) return;
  if (found?.isDirectory()) {
    throw new ChannelConfigError(
      `connect: ${path} is a directory; name a file in it, such as sqlite:${join(path, "jobs.db")}`,
    );
  }
  if (found !== undefined) {
    throw new ChannelConfigError(
      `connect: ${path} is not a regular file; name a regular file, or a new one`,
    );
  }
  const directory = dirname(path);
  if (isDefault) mkdirSync(directory, { recursive: true, mode: 0o700 });
  else if (!statOf(directory)?.isDirectory()) {
    throw new ChannelConfigError(
      `connect: ${path}: the directory ${directory} does not exist; create it, or name another path`,
    );
  }
  // The file is created under another name: if another thread has locked the database already, closing a
  // descriptor of it would release that lock.
  const fresh = fileOf(path, newToken(), "new");
  closeSync(openSync(fresh, "wx", 0o600));
  try {
    linkSync(fresh, path);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** Throws if the file is not a database of this library. The check changes nothing about the file. */
export function checkFile(sqlite: Sqlite, path: string, newest: number = migrations.length): void {
  const log = `${path}-wal`;
  const hasLog = existsSync(log);
  const db = new sqlite.DatabaseSync(path, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 0");
    const [id, version, table] = ["PRAGMA application_id", "PRAGMA user_version", anyTable]
      .map((sql) => db.prepare(sql)); // before the transaction; statements.ts gives the reason
    // One transaction: another process may be creating the tables.
    db.exec("BEGIN");
    checkContent(path, newest, {
      id: valueOf(id!),
      version: valueOf(version!) as number,
      isEmpty: table!.get() === undefined,
    });
  } catch (error) {
    db.close();
    // A read-only connection creates a missing log, and cannot remove it.
    if (!isBusy(error) && !hasLog && existsSync(log)) removeLog(sqlite, path);
    throw error;
  }
  db.close();
}

function removeLog(sqlite: Sqlite, path: string): void {
  const db = new sqlite.DatabaseSync(path);
  try {
    db.prepare(anyTable).get();
  } finally {
    db.close();
  }
}

const anyTable = "SELECT 1 FROM sqlite_master";

/** What a file says about itself. */
interface Content {
  readonly id: unknown;
  readonly version: number;
  readonly isEmpty: boolean;
}

function checkContent(path: string, newest: number, { id, version, isEmpty }: Content): void {
  if (id !== applicationId && !(isEmpty && id === 0 && version === 0)) {
    throw new ChannelConfigError(
      `connect: ${path} is a database of another program; name another path (it was left unchanged)`,
    );
  }
  if (version <= newest) return;
  throw new ChannelConfigError(
    `connect: ${path} was written by a newer ChannelTS: its schema version is ${version}, and ` +
      `this version reads up to ${newest}; update ChannelTS, or name another path`,
  );
}

function valueOf(pragma: StatementSync): unknown {
  return Object.values(pragma.get() as object)[0];
}

function setMode(db: DatabaseSync, { path, isFull }: DatabaseOptions): void {
  const mode = valueOf(db.prepare("PRAGMA journal_mode = WAL"));
  if (mode !== "wal") {
    throw new ChannelConfigError(
      `connect: the file system of ${path} does not support shared memory, as network file systems do not ` +
        `(SQLite's journal mode is "${mode}", not "wal"); use a local file system`,
    );
  }
  db.exec(`
    PRAGMA synchronous = ${isFull ? "FULL" : "NORMAL"};
    PRAGMA journal_size_limit = 4194304;
    PRAGMA temp_store = MEMORY;
  `);
}

function migrate(db: DatabaseSync, steps: readonly string[]): void {
  const version = db.prepare("PRAGMA user_version");
  if (valueOf(version) === steps.length) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    for (const step of steps.slice(valueOf(version) as number)) db.exec(step);
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${steps.length}`);
    db.exec("COMMIT");
  } catch (error) {
    try {
      db.exec("ROLLBACK");
    } catch {
      // after some errors, SQLite has rolled back itself
    }
    throw error;
  }
}
