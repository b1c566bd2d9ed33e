import type { Scheme } from "../transport.ts";
import type { SqliteTransport } from "./transport.ts";
import { parseSqliteUri } from "./uri.ts";

/**
 * Returns the scheme of SQLite.
 *
 * @param load returns the class of the transport; it may load its code
 */
export function sqliteSchemes(
  load: () => typeof SqliteTransport | Promise<typeof SqliteTransport>,
): Record<string, Scheme> {
  return {
    "sqlite:": {
      reach: "machine",
      parse: parseSqliteUri,
      load: async (uri, _, watcher) => new (await load())(uri, watcher),
    },
  };
}
