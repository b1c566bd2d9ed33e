import { accessSync, constants, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import type { DatabaseSync } from "node:sqlite";
import { isGranted } from "../../shared/host.ts";
import {
  closedChannel,
  type Finding,
  fine,
  type InspectionOptions,
  type Inspector,
  missingChannel,
  type ReportFinding,
  shownSize,
  shownTime,
  splitAdvice,
  waitingDeadLetters,
} from "../inspection.ts";
import { failure } from "./failure.ts";
import { checkFile, loadSqlite, retryWhileBusy, type Sqlite } from "./file/database.ts";
import { migrations } from "./file/schema.ts";
import { parseSqliteUri, type SqliteUri } from "./uri.ts";

/** Examines files of SQLite. */
export const inspector: Inspector = {
  permissions(uri) {
    const { path, isDefault } = parseSqliteUri(uri);
    const directory = dirname(path);
    return [
      ...isDefault ? ["--allow-env=HOME,XDG_STATE_HOME"] : [],
      `--allow-read=${directory}`,
      `--allow-write=${directory}`,
    ];
  },

  async inspect(uri, options) {
    const parsed = parseSqliteUri(uri);
    const { path } = parsed;
    try {
      if (!inspectPlace(parsed, options.report)) return;
      const sqlite = await loadSqlite();
      const deadline = performance.now() + options.timeout;
      await retryWhileBusy(deadline, () => checkFile(sqlite, path));
      options.signal.throwIfAborted();
      await inspectFile(sqlite, parsed, deadline, options);
    } catch (error) {
      options.signal.throwIfAborted();
      const message = failure("connect", path, error).message.replace(/^connect: /, "");
      options.report({
        level: "problem",
        about: "file",
        ...splitAdvice(message, "name another path"),
        facts: { path },
      });
    }
  },
};

/** Examines what there is besides the content. Returns false if there is no content to examine. */
function inspectPlace(
  { path, isDefault }: SqliteUri,
  report: ReportFinding,
): boolean {
  const directory = dirname(path);
  const problem = (what: string, cure: string) => {
    report({ level: "problem", about: "file", what, cure, facts: { path } });
    return false;
  };
  if (!(["read", "write"] as const).every((name) => isGranted({ name, path: directory }))) {
    return problem(
      `Deno does not permit to use ${directory}`,
      `allow it with --allow-read=${directory} and --allow-write=${directory}`,
    );
  }
  const place = statSync(directory, { throwIfNoEntry: false });
  if (place === undefined) {
    if (!isDefault) return problem(`the directory ${directory} does not exist`, "create it");
    report({
      level: "note",
      about: "file",
      what: `${path} does not exist; the first program that uses it creates it, and its directory`,
      facts: { path, exists: false },
    });
    return false;
  }
  if (!place.isDirectory()) return problem(`${directory} is not a directory`, "name another path");
  if (!mayAccess(directory, constants.W_OK | constants.X_OK)) {
    return problem(
      `this user may not create files in ${directory}, and SQLite needs files beside the database`,
      "give the user the directory, or name another path",
    );
  }
  inspectFileSystem(directory, report);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    report({
      level: "note",
      about: "file",
      what: `${path} does not exist; the first program that uses it creates it`,
      facts: { path, exists: false },
    });
    return false;
  }
  if (!found.isFile()) {
    return problem(`${path} is not a regular file`, "name a file in it, or a new one");
  }
  if (!mayAccess(path, constants.R_OK | constants.W_OK)) {
    return problem(`this user may not read and write ${path}`, "give the user the file");
  }
  const others = found.mode & 0o077;
  if (process.platform !== "win32" && others !== 0) {
    report({
      level: "warning",
      about: "mode",
      what: `other users of this machine may open ${path} (mode ${
        (found.mode & 0o777).toString(8)
      })`,
      cure: `if they are not to, chmod 600 ${path}`,
      facts: { mode: (found.mode & 0o777).toString(8) },
    });
  }
  return true;
}

function mayAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** The numbers of network file systems, which have no shared memory (statfs(2)): NFS, SMB, CIFS, SMB 2. */
const networkTypes = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
]);

/** Bytes. SQLite moves its log into the file about every 4 MB, and a full disk refuses gets, too. */
const littleSpace = 64 * 1024 * 1024;

function inspectFileSystem(directory: string, report: ReportFinding): void {
  let system: { readonly type: number; readonly bavail: number; readonly bsize: number };
  try {
    system = statfsSync(directory);
  } catch {
    return; // the runtime does not tell, or Deno does not permit it
  }
  const network = networkTypes.get(system.type >>> 0);
  if (network !== undefined) {
    report({
      level: "problem",
      about: "file-system",
      what: `${directory} is on a network file system (${network}), which has no shared memory`,
      cure: "use a local disk",
    });
  }
  const free = system.bavail * system.bsize;
  const facts = { freeBytes: free };
  if (free < littleSpace) {
    report({
      level: "warning",
      about: "disk",
      what: `the disk of ${directory} has ${
        shownSize(free)
      } left; a full disk refuses puts and gets`,
      cure: "make room on it",
      facts,
    });
  } else report(fine("disk", `the disk of ${directory} has ${shownSize(free)} left`, facts));
}

/** Examines the content of a database of this library. */
async function inspectFile(
  sqlite: Sqlite,
  { path, isFull }: SqliteUri,
  deadline: number,
  { name, report }: InspectionOptions,
): Promise<void> {
  const db = new sqlite.DatabaseSync(path);
  try {
    db.exec("PRAGMA busy_timeout = 0");
    const version = await retryWhileBusy(deadline, () => one(db, "PRAGMA user_version")) as number;
    const size = statSync(path).size;
    if (version === 0) {
      report({
        level: "note",
        about: "file",
        what: `${path} is empty; the first program that uses it creates its tables`,
        facts: { path, exists: true, version },
      });
      return;
    }
    report(fine("file", `${path} is a database of ChannelTS, of ${shownSize(size)}`, {
      path,
      exists: true,
      version,
      bytes: size,
    }));
    if (version < migrations.length) {
      report({
        level: "warning",
        about: "schema",
        what:
          `an earlier ChannelTS wrote the file (schema ${version}); the first program of this version ` +
          `changes it to schema ${migrations.length}, and earlier versions refuse it then`,
        cure: "end the programs of the earlier version before you start one of this version",
        facts: { version, newest: migrations.length },
      });
    }
    await inspectTimes(db, path, deadline, report);
    await retryWhileBusy(deadline, () => inspectContent(db, path, isFull, report));
    if (version < migrations.length || name === undefined) return;
    await retryWhileBusy(deadline, () => inspectChannel(db, name, report));
  } finally {
    db.close();
  }
}

function one(db: DatabaseSync, sql: string, ...parameters: string[]): unknown {
  return Object.values(db.prepare(sql).get(...parameters) ?? {})[0];
}

/** Measures how long a transaction takes that writes nothing. */
async function inspectTimes(
  db: DatabaseSync,
  path: string,
  deadline: number,
  report: ReportFinding,
): Promise<void> {
  const times: number[] = [];
  try {
    for (let i = 0; i < 7; i++) {
      const begun = performance.now();
      await retryWhileBusy(deadline, () => db.exec("BEGIN IMMEDIATE; ROLLBACK"));
      times.push(performance.now() - begun);
    }
  } catch (error) {
    const { what, cure } = splitAdvice(failure("lock", path, error).message, "end its transaction");
    report({ level: "problem", about: "lock", what, cure });
    return;
  }
  times.sort((a, b) => a - b);
  const [median, longest] = [times[3]!, times[6]!];
  report(fine(
    "round-trip",
    `the file can be locked for writing: it takes ${shownTime(median)}, at most ${
      shownTime(longest)
    } of 7 times`,
    { median, longest },
  ));
}

/** Bytes. A larger file is not checked, since that takes seconds. */
const mostChecked = 64 * 1024 * 1024;

function inspectContent(
  db: DatabaseSync,
  path: string,
  isFull: boolean,
  report: ReportFinding,
): void {
  const mode = String(one(db, "PRAGMA journal_mode"));
  if (mode !== "wal") {
    report({
      level: "note",
      about: "journal",
      what: `the journal mode is ${mode}; the first program that uses the file changes it to wal`,
      facts: { mode },
    });
  }
  report({
    level: isFull ? "ok" : "note",
    about: "durability",
    what: isFull
      ? "each put is on the disk before it resolves (synchronous=full)"
      : "a loss of power may lose the last values; with ?synchronous=full in the URI it does not",
    facts: { synchronous: isFull ? "full" : "normal" },
  });
  const [channels, messages, sessions] = ["channels", "messages", "sessions"].map((table) =>
    Number(one(db, `SELECT count(*) FROM ${table}`))
  );
  report(fine(
    "content",
    `channels in the file: ${channels}; values: ${messages}; processes and Workers that use it: ${sessions}`,
    { channels: channels!, messages: messages!, sessions: sessions! },
  ));
  if (statSync(path).size > mostChecked) {
    report({
      level: "note",
      about: "integrity",
      what:
        "the file is large, and was not checked; PRAGMA quick_check of the program sqlite3 does it",
    });
    return;
  }
  const outcome = String(one(db, "PRAGMA quick_check(1)"));
  if (outcome === "ok") {
    report(fine("integrity", "SQLite finds no fault in the file (quick_check)"));
  } else {
    report({
      level: "problem",
      about: "integrity",
      what: `the file is damaged: ${outcome}`,
      cure:
        "end all programs that use it, keep a copy of it and of the files beside it, and restore a backup",
    });
  }
}

interface ChannelRow {
  readonly id: number;
  readonly depth: number;
  readonly loans: number;
  readonly delayed: number;
  readonly users: number;
  readonly waiters: number;
  readonly is_closed: number;
  readonly capacity: number | null;
  readonly lease: number | null;
}

const channelSql = `
  SELECT id, depth, is_closed, capacity, lease,
    (SELECT count(*) FROM messages WHERE channel = channels.id AND holder <> 0) AS loans,
    (SELECT count(*) FROM delayed WHERE channel = channels.id) AS delayed,
    (SELECT count(*) FROM links WHERE channel = channels.id) AS users,
    (SELECT count(*) FROM waiters WHERE channel = channels.id) AS waiters
  FROM channels WHERE name = ?`;

function inspectChannel(db: DatabaseSync, name: string, report: ReportFinding): void {
  const select = db.prepare(channelSql);
  const row = select.get(name) as unknown as ChannelRow | undefined;
  if (row === undefined) {
    report(missingChannel(name));
    return;
  }
  const { depth, loans, delayed, users, waiters, capacity, lease } = row;
  const limits = [
    ...capacity === null ? [] : [`capacity ${capacity}`],
    ...lease === null ? [] : [`expires ${lease} ms after its last use`],
  ].map((text) => `, ${text}`).join("");
  report(fine(
    "channel",
    `channel ${name} exists: ${depth} values wait, ${loans} on loan, ${delayed} delayed; ${users} processes or ` +
      `Workers use it, ${waiters} gets wait${limits}`,
    {
      exists: true,
      messages: depth,
      loans,
      delayed,
      users,
      waiters,
      ...capacity === null ? {} : { capacity },
      ...lease === null ? {} : { lease },
    },
  ));
  for (const finding of findingsOf(name, row, select)) report(finding);
}

function* findingsOf(
  name: string,
  { depth, loans, capacity, is_closed: isClosed }: ChannelRow,
  select: ReturnType<DatabaseSync["prepare"]>,
): Generator<Finding> {
  if (isClosed !== 0) yield closedChannel(name);
  if (capacity !== null && capacity > 0 && depth + loans >= capacity) {
    yield {
      level: "warning",
      about: "capacity",
      what: `channel ${name} is full: puts wait`,
      cure: "let consumers take values",
      facts: { capacity },
    };
  }
  const dead = select.get(`${name}.dead-letters`) as unknown as ChannelRow | undefined;
  if (dead !== undefined && dead.depth > 0) yield waitingDeadLetters(name, dead.depth);
}
