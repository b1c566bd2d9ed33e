import { ChannelConfigError, ChannelConnectionError, ChannelError } from "../../errors.ts";

// SQLite's result codes (sqlite.org/rescode.html); Deno's `exec` gives their text only.
const [busy, locked, corrupt, notADatabase] = [5, 6, 11, 26];

function hasCode(error: unknown, codes: readonly number[], text: RegExp): boolean {
  const { errcode, message } = error as { readonly errcode?: unknown; readonly message?: unknown };
  if (typeof errcode === "number") return codes.includes(errcode & 0xff);
  return text.test(String(message));
}

/** Whether another connection has locked the file: it will be free in a moment. */
export function isBusy(error: unknown): boolean {
  return hasCode(error, [busy, locked], /\b(?:is locked|busy)\b/);
}

function isCorrupt(error: unknown): boolean {
  return hasCode(error, [corrupt, notADatabase], /malformed|not a database/);
}

/** The error of an operation on the file at `path`. */
export function failure(action: string, path: string, cause: unknown): ChannelError {
  if (cause instanceof ChannelError) return cause;
  if (isCorrupt(cause)) {
    return new ChannelConfigError(
      `${action}: ${path} is corrupt, or no database of ChannelTS; it has been left as it is`,
      { cause },
    );
  }
  const why = isBusy(cause)
    ? "another program keeps it locked"
    : String((cause as { readonly message?: unknown } | null)?.message ?? cause);
  return new ChannelConnectionError(`${action}: ${path} cannot be used: ${why}`, {
    address: `sqlite:${path}`,
    transient: isBusy(cause),
    cause,
  });
}
