/** What a process's file beside the database is for: its lock, its bell, or a database that is being made. */
export type FileKind = "lock" | "bell" | "new";

/** What tells one session's files, beside the one with the channels, from another's. */
export function newToken(): string {
  return crypto.randomUUID().slice(-12);
}

/** Whether a token is one of ours: other programs write to the file, too, and a token becomes part of a path. */
export function isToken(token: unknown): token is string {
  return typeof token === "string" && /^[\da-f]{12}$/.test(token);
}

/** The path of a session's file beside the database at `path`. */
export function fileOf(path: string, token: string, kind: FileKind): string {
  return `${path}.channelts-${token}.${kind}`;
}

/** The token and the kind of a file that has such a name; undefined where it has another. */
export function readName(
  database: string,
  name: string,
): { readonly token: string; readonly kind: FileKind } | undefined {
  if (!name.startsWith(`${database}.channelts-`)) return undefined;
  const [, token, kind] =
    /^([\da-f]{12})\.(lock|bell|new)$/.exec(name.slice(database.length + ".channelts-".length)) ??
      [];
  return token === undefined ? undefined : { token, kind: kind as FileKind };
}
