import { ChannelConfigError } from "../../shared/errors.ts";
import { platform } from "../../shared/host.ts";
import { isRequestBound } from "../../shared/request_bound.ts";
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
      parse(uri) {
        checkFiles();
        return parseSqliteUri(uri);
      },
      load: async (uri, _, watcher) => new (await load())(uri, watcher),
    },
  };
}

/** Cloudflare Workers may have the modules of Node, and have no files that last. */
function checkFiles(): void {
  if (platform() !== undefined && !isRequestBound) return;
  throw new ChannelConfigError(
    "sqlite: connections need the files of Deno, Bun or Node; in a browser or an edge runtime, use memory:, " +
      "or a transport of your own",
  );
}
