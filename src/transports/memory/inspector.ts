import { fine, type Inspector } from "../inspection.ts";

/** There is nothing to examine of memory. */
export const inspector: Inspector = {
  permissions: () => [],

  // deno-lint-ignore require-await -- other transports wait
  async inspect(_uri, { name, report }) {
    report(fine("connection", "memory: needs no broker and no file"));
    report({
      level: "note",
      about: "reach",
      what:
        "its channels are in one isolate: no other program, process or Worker reaches them, and they end with " +
        "it",
    });
    if (name === undefined) return;
    report({
      level: "note",
      about: "channel",
      what: `channel ${name} cannot be seen from this program; ch.stats() tells of it in its own`,
    });
  },
};
