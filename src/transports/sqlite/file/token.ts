/** The suffix of a session's file: its lock, its wake-up file (`bell`), or a database that is being created. */
export type FileKind = "lock" | "bell" | "new";

/** Returns a new token, which tells the files of one session from those of another. */
export function newToken(): string {
  return crypto.randomUUID().slice(-12);
}

/** Reports whether a token is valid. Another program may have written any value, and a token becomes part of a path. */
export function isToken(token: unknown): token is string {
  return typeof token === "string" && /^[\da-f]{12}$/.test(token);
}

/** Returns the path of a session's file beside the database at `path`. */
export function fileOf(path: string, token: string, kind: FileKind): string {
  return `${path}.channelts-${token}.${kind}`;
}

/** Returns the token and the kind in a file name; undefined if it is not the name of a session's file. */
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
