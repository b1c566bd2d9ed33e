import { ChannelConfigError, ChannelConnectionError, ChannelError } from "../../shared/errors.ts";

/** The errors of one kind of failure. */
interface Kind {
  /** SQLite's primary result codes (sqlite.org/rescode.html). */
  readonly sqlite: readonly number[];
  /** The system's error codes. */
  readonly system?: readonly string[];
  /** The text of an error without a code, as Deno's `exec` throws it. */
  readonly text: RegExp;
}

const busy: Kind = { sqlite: [5, 6], text: /\b(?:is locked|busy)\b/ };
const corrupt: Kind = { sqlite: [11, 26], text: /malformed|not a database/ };
const full: Kind = { sqlite: [13], system: ["ENOSPC", "EDQUOT"], text: /disk is full/ };
const readOnly: Kind = {
  sqlite: [3, 8, 14, 23],
  system: ["EACCES", "EPERM", "EROFS"],
  text: /readonly database|unable to open database|access permission denied/,
};
const broken: Kind = { sqlite: [10], system: ["EIO"], text: /disk I\/O error/ };
const foreign: Kind = {
  sqlite: [20],
  text: /too large to be represented|cannot be represented|out of range|datatype mismatch/i,
};
const tooManyFiles: Kind = {
  sqlite: [],
  system: ["EMFILE", "ENFILE"],
  text: /too many open files/i,
};

function isOf({ sqlite, system = [], text }: Kind, error: unknown): boolean {
  const { errcode, code, message } = error as Readonly<Record<string, unknown>>;
  if (typeof errcode === "number") return sqlite.includes(errcode & 0xff);
  return system.includes(code as string) || text.test(String(message));
}

/** Reports whether an error says that another connection has locked the file, usually for a moment. */
export function isBusy(error: unknown): boolean {
  return error !== null && typeof error === "object" && isOf(busy, error);
}

/** What happened, and what to do. */
const advice: readonly [Kind, string][] = [
  [busy, "another program keeps it locked; end its transaction"],
  [full, "the disk is full; make room on it"],
  [readOnly, "this user may not open or write it; allow that for the file and its directory"],
  [broken, "the disk failed to read or write; check it, and its free space"],
  [foreign, "another program wrote an invalid value into it; remove that value"],
  [tooManyFiles, "this process has too many files open; close some, or raise the limit"],
];

/** Returns the error of an operation on the file at `path`. */
export function failure(action: string, path: string, cause: unknown): ChannelError {
  if (cause instanceof ChannelError) return cause;
  const error = Object(cause) as { readonly message?: unknown };
  if (isOf(corrupt, error)) {
    return new ChannelConfigError(
      `${action}: ${path} is corrupt, or not a database of ChannelTS; ` +
        "name another path (it was left unchanged)",
      { cause },
    );
  }
  const text = String(error.message ?? cause);
  const known = advice.find(([kind]) => isOf(kind, error))?.[1];
  return new ChannelConnectionError(
    `${action}: ${path} cannot be used: ${known === undefined ? text : `${known} (${text})`}`,
    { address: `sqlite:${path}`, transient: isBusy(cause), cause },
  );
}
