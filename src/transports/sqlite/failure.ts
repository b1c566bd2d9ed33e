import { ChannelConfigError, ChannelConnectionError, ChannelError } from "../../shared/errors.ts";

/** A kind of failure: SQLite's result codes (sqlite.org/rescode.html), the system's, or a text, as Deno's `exec` gives. */
interface Kind {
  readonly sqlite: readonly number[];
  readonly system?: readonly string[];
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
const tooMany: Kind = { sqlite: [], system: ["EMFILE", "ENFILE"], text: /too many open files/i };

function isOf({ sqlite, system = [], text }: Kind, error: unknown): boolean {
  const { errcode, code, message } = error as Readonly<Record<string, unknown>>;
  if (typeof errcode === "number") return sqlite.includes(errcode & 0xff);
  return system.includes(code as string) || text.test(String(message));
}

/** Whether another connection has locked the file: it will be free in a moment. */
export function isBusy(error: unknown): boolean {
  return error !== null && typeof error === "object" && isOf(busy, error);
}

/** What is the matter, and what to do. */
const advice: readonly [Kind, string][] = [
  [busy, "another program keeps it locked; end its transaction"],
  [full, "the disk is full; make room on it"],
  [readOnly, "this user may not open or write it; allow that for the file and its directory"],
  [broken, "the disk failed to read or write; check it, and its free space"],
  [foreign, "another program wrote a value there that is none of ours; remove it"],
  [tooMany, "this process has too many files open; close some, or raise the limit"],
];

/** The error of an operation on the file at `path`. */
export function failure(action: string, path: string, cause: unknown): ChannelError {
  if (cause instanceof ChannelError) return cause;
  const error = Object(cause) as { readonly message?: unknown };
  if (isOf(corrupt, error)) {
    return new ChannelConfigError(
      `${action}: ${path} is corrupt, or no database of ChannelTS; it has been left as it is`,
      { cause },
    );
  }
  const said = String(error.message ?? cause);
  const why = advice.find(([kind]) => isOf(kind, error))?.[1];
  return new ChannelConnectionError(
    `${action}: ${path} cannot be used: ${why === undefined ? said : `${why} (${said})`}`,
    { address: `sqlite:${path}`, transient: isBusy(cause), cause },
  );
}
