import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import { canWrite } from "../support/sqlite_file.ts";
import type { Actor } from "./actors.ts";
import { type Mishaps, ofProcesses, oneOf } from "./mishaps.ts";
import type { SqliteFile } from "./sqlite_file.ts";

/** The mishaps of a file of SQLite. */
export const sqliteMishaps: Mishaps<SqliteFile> = {
  ...ofProcesses,
  "all but one process are killed": async ({ actors }) => {
    await Promise.all(actors.mortals.map((actor) => actors.replace(actor)));
  },
  "a process is killed that has locked the file": async ({ server, actors, random }) => {
    const actor = oneOf(actors.mortals, random);
    await stopInTransaction(actor, server);
    await actors.replace(actor);
  },
  "a process is stopped that has locked the file": async ({ server, actors, random }) => {
    const actor = oneOf(actors.all, random);
    await stopInTransaction(actor, server);
    await pause(2000);
    actor.child.kill("SIGCONT");
  },
  "a consumer is stopped": ({ actors, random }) => stopped([oneOf(actors.consumers, random)]),
  "all processes are stopped": ({ actors }) => stopped(actors.all),
  "another program locks the file": ({ server, random }) =>
    inTransaction(server, random() < 0.5 ? "BEGIN IMMEDIATE" : "BEGIN EXCLUSIVE"),
  "another program reads the file for seconds": ({ server }) =>
    inTransaction(server, "BEGIN", "SELECT count(*) FROM messages"),
  "an operator truncates the log": ({ server }) =>
    withDatabase(server, (db) => Promise.resolve(db.exec("PRAGMA wal_checkpoint(TRUNCATE)"))),
  "an operator vacuums the file": ({ server }) =>
    withDatabase(server, (db) => Promise.resolve(db.exec("VACUUM"))),
};

/** Stops a process at a moment at which it has locked the file. */
async function stopInTransaction({ child }: Actor, { path }: SqliteFile): Promise<void> {
  await until(() => {
    child.kill("SIGSTOP");
    if (!canWrite(path)) return true;
    child.kill("SIGCONT");
    return false;
  }, 60_000);
}

async function stopped(actors: readonly Actor[]): Promise<void> {
  for (const { child } of actors) child.kill("SIGSTOP");
  await pause(2000);
  for (const { child } of actors) child.kill("SIGCONT");
}

async function inTransaction(file: SqliteFile, ...statements: string[]): Promise<void> {
  await withDatabase(file, async (db) => {
    for (const statement of statements) db.exec(statement);
    await pause(1500);
    db.exec("ROLLBACK");
  });
}

async function withDatabase(
  { path }: SqliteFile,
  use: (db: DatabaseSync) => Promise<void>,
): Promise<void> {
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA busy_timeout = 20000");
    await use(db);
  } finally {
    db.close();
  }
}
