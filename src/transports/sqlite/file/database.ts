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

/** How a file is opened. */
export interface DatabaseOptions {
  readonly path: string;
  /** Whether the directory is made where it is missing. */
  readonly isDefault: boolean;
  /** Whether each put survives that the machine loses its power, at a third of the speed. */
  readonly isFull: boolean;
}

/** The runtime's own SQLite. */
export async function loadSqlite(): Promise<Sqlite> {
  try {
    return await import("node:sqlite");
  } catch (cause) {
    throw new ChannelConfigError(
      "sqlite: connections need node:sqlite, which Deno 2.2, Bun 1.4 and Node 22.13 have",
      { cause },
    );
  }
}

/**
 * Opens a file of channels, which it makes where there is none, and brings to today's schema.
 *
 * @param patience milliseconds for which others may keep it locked
 * @throws {ChannelConfigError} for a file that is something else, or newer, and has been left as it is
 */
export async function openDatabase(
  sqlite: Sqlite,
  options: DatabaseOptions,
  patience: number,
  steps: readonly string[] = migrations,
): Promise<DatabaseSync> {
  const { path } = options;
  const deadline = performance.now() + patience;
  checkGranted(path);
  let db: DatabaseSync | undefined;
  try {
    makeFile(options);
    await patiently(deadline, () => inspect(sqlite, path, steps.length));
    db = new sqlite.DatabaseSync(path);
    const opened = db;
    opened.exec("PRAGMA busy_timeout = 0"); // it would block the event loop
    await patiently(deadline, () => setMode(opened, options));
    await patiently(deadline, () => migrate(opened, steps));
    return opened;
  } catch (error) {
    db?.close();
    throw failure("connect", path, error);
  }
}

/** Does what may find the file locked, again and again until `deadline`. */
async function patiently(deadline: number, act: () => void): Promise<void> {
  for (;;) {
    try {
      return act();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
    }
    await pause(Math.random() * 4);
  }
}

/** Deno would prompt for what is not granted. */
function checkGranted(path: string): void {
  const directory = dirname(path);
  for (const name of ["read", "write"] as const) {
    if (isGranted({ name, path: directory })) continue;
    throw new ChannelConfigError(
      `connect: ${path} needs --allow-read=${directory} and --allow-write=${directory}; ` +
        `to ${name} is not granted`,
    );
  }
}

/** What is at a path; undefined where nothing is, or a part of the path is no directory. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Makes an empty file that nobody else may read, unless there is one. */
function makeFile({ path, isDefault }: DatabaseOptions): void {
  const found = statOf(path);
  if (found?.isFile()) return;
  if (found?.isDirectory()) {
    throw new ChannelConfigError(
      `connect: ${path} is a directory; name a file in it, such as sqlite:${join(path, "jobs.db")}`,
    );
  }
  if (found !== undefined) {
    throw new ChannelConfigError(`connect: ${path} is no regular file; name one, or a new one`);
  }
  const directory = dirname(path);
  if (isDefault) mkdirSync(directory, { recursive: true, mode: 0o700 });
  else if (!statOf(directory)?.isDirectory()) {
    throw new ChannelConfigError(
      `connect: ${path}: there is no directory ${directory}; make it, or name another path`,
    );
  }
  // Under another name first: to close a file that another thread has locked already would unlock it.
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

/** Throws for a file that is not ours; it is opened so that nothing about it changes. */
function inspect(sqlite: Sqlite, path: string, newest: number): void {
  const log = `${path}-wal`;
  const hasLog = existsSync(log);
  const db = new sqlite.DatabaseSync(path, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 0");
    const [id, version, table] = ["PRAGMA application_id", "PRAGMA user_version", anyTable]
      .map((sql) => db.prepare(sql)); // before the transaction, for the reason that statements.ts gives
    // In one transaction, as another process may be making its tables.
    db.exec("BEGIN");
    checkOwner(path, newest, {
      id: valueOf(id!),
      version: valueOf(version!) as number,
      isEmpty: table!.get() === undefined,
    });
  } catch (error) {
    db.close();
    // Who only reads makes a log where there is none, and cannot remove it.
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

/** What a file says of itself. */
interface Content {
  readonly id: unknown;
  readonly version: number;
  readonly isEmpty: boolean;
}

function checkOwner(path: string, newest: number, { id, version, isEmpty }: Content): void {
  if (id !== applicationId && !(isEmpty && id === 0 && version === 0)) {
    throw new ChannelConfigError(
      `connect: ${path} is a database of another program; it has been left as it is`,
    );
  }
  if (version <= newest) return;
  throw new ChannelConfigError(
    `connect: ${path} was made by a newer ChannelTS: it has schema version ${version}, and ` +
      `this one reads up to ${newest}; update ChannelTS, or use another file`,
  );
}

function valueOf(pragma: StatementSync): unknown {
  return Object.values(pragma.get() as object)[0];
}

function setMode(db: DatabaseSync, { path, isFull }: DatabaseOptions): void {
  const mode = valueOf(db.prepare("PRAGMA journal_mode = WAL"));
  if (mode !== "wal") {
    throw new ChannelConfigError(
      `connect: the file system of ${path} has no shared memory, as network file systems have none ` +
        `(SQLite's journal mode is ${mode}, not wal); use a local one`,
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
      // SQLite has done so itself, as after some errors
    }
    throw error;
  }
}
