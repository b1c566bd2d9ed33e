import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { Channel, type ChannelOptions } from "../../mod.ts";
import { pause, until } from "../conformance/fixture.ts";
import type { Child } from "./child.ts";

/**
 * Creates a directory for this process's SQLite files. It is removed with the process, or with the runner's folder if
 * the process is killed.
 */
export function sqliteDirectory(): string {
  const directory = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-sqlite-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  if (process.versions.deno) globalThis.addEventListener("unload", remove); // tests on Deno have no exit event
  else process.once("exit", remove);
  return directory;
}

/** Opens a channel in a new file of an existing directory and calls `use` with it. */
export async function withFile(
  directory: string,
  use: (channel: Channel<unknown>, path: string, uri: string) => Promise<void>,
  options: ChannelOptions = {},
): Promise<void> {
  const path = join(directory, `${crypto.randomUUID()}.db`);
  const uri = `sqlite:${path}`;
  const channel = new Channel({ name: "x", connection: uri, ...options });
  try {
    await use(channel, path, uri);
    checkFile(path);
  } finally {
    await channel.close();
    await pause(60); // its connection stays open for a moment
  }
}

/** Queries a file without the library. */
export function query<T>(path: string, sql: string): T[] {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 1000");
    return db.prepare(sql).all() as T[];
  } finally {
    db.close();
  }
}

export function count(path: string, table: string): number {
  return query<{ n: number }>(path, `SELECT count(*) AS n FROM ${table}`)[0]!.n;
}

/** Resolves when no connection has a file open: a connection stays open for a moment after its last use. */
export async function atRest(path: string): Promise<void> {
  await until(() => !existsSync(`${path}-wal`));
}

/** Stops a process that uses a file, but not within a transaction, during which nobody else can write. */
export async function stopOutsideTransaction(child: Child, path: string): Promise<void> {
  await until(() => {
    child.kill("SIGSTOP");
    if (canWrite(path)) return true;
    child.kill("SIGCONT"); // the transaction ends
    return false;
  });
}

/** Reports whether nobody has a file locked for longer than 0.2 s. */
export function canWrite(path: string): boolean {
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA busy_timeout = 200");
    db.exec("BEGIN IMMEDIATE");
    db.exec("ROLLBACK");
    return true;
  } catch (error) {
    if (/locked/.test(String(error))) return false;
    throw error;
  } finally {
    db.close();
  }
}

/** Asserts the invariants of a file, as `schema.ts` states them. */
export function checkFile(path: string): void {
  // The process that was creating the file may have been killed.
  if (!existsSync(path) || query(path, "SELECT 1 FROM sqlite_master LIMIT 1").length === 0) return;
  const [{ integrity_check }] = query<{ integrity_check: string }>(
    path,
    "PRAGMA integrity_check",
  ) as [{ integrity_check: string }];
  assert.equal(integrity_check, "ok");
  const wrong = query(
    path,
    `SELECT id, depth, (SELECT count(*) FROM messages WHERE holder = 0 AND channel = channels.id) AS n
       FROM channels WHERE depth <> n
     UNION ALL SELECT id, depth, -1 FROM channels
       WHERE depth > 0 AND EXISTS (SELECT 1 FROM waiters WHERE channel = channels.id)
     UNION ALL SELECT id, holder, -2 FROM messages
       WHERE holder <> 0 AND abs(holder) NOT IN (SELECT id FROM sessions)
     UNION ALL SELECT id, session, -3 FROM waiters WHERE NOT EXISTS
       (SELECT 1 FROM links WHERE channel = waiters.channel AND session = waiters.session)
     UNION ALL SELECT id, size, -4 FROM channels WHERE size <> CASE WHEN capacity IS NULL THEN 0
       ELSE (SELECT count(*) FROM messages WHERE channel = channels.id) +
         (SELECT count(*) FROM delayed WHERE channel = channels.id) END
     UNION ALL SELECT id, session, -5 FROM putters WHERE NOT EXISTS
       (SELECT 1 FROM links WHERE channel = putters.channel AND session = putters.session)`,
  );
  assert.deepEqual(wrong, [], "the tables contradict each other");
}
