import { closeSync, lstatSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Sqlite } from "../file/database.ts";
import { type FileKind, fileOf, readName } from "../file/token.ts";
import { mayBeAlive } from "./liveness_lock.ts";
import { isWakeup } from "./wakeup_file.ts";

/** Milliseconds within which a process locks the file that it has created. */
const startTime = 10_000;

/**
 * Removes the files beside the database at `path` of processes that were killed as they began or ended. Files of
 * the user stay: only a regular file of this user is removed that has the name of a session's file, and
 * contains nothing but what a session writes there.
 *
 * @param own the token of a session of this process
 * @param others the tokens of the other sessions that the database lists
 */
export function removeAbandonedFiles(
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
    if (!mayBeAlive(sqlite, fileOf(path, found.token, "lock"))) rmSync(file, { force: true });
  }
}

/**
 * Reports whether a file is old enough, and contains what a session writes there. It opens no file that may be
 * locked: closing one would release the lock.
 */
function isAbandoned(file: string, kind: FileKind, path: string, uid: number): boolean {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.uid !== uid) return false;
  if (kind === "new") {
    // A second name of the database itself, which createFile has not removed.
    const database = lstatSync(path, { throwIfNoEntry: false });
    if (database !== undefined && database.ino === stat.ino && database.dev === stat.dev) {
      return true;
    }
  }
  if (Date.now() - stat.mtimeMs < startTime) return false;
  return stat.size === 0 || kind === "bell" && stat.size === 1 && isWakeup(firstByte(file));
}

function firstByte(file: string): Uint8Array {
  const byte = new Uint8Array(1);
  const descriptor = openSync(file, "r");
  try {
    return byte.subarray(0, readSync(descriptor, byte, 0, 1, 0));
  } finally {
    closeSync(descriptor);
  }
}
