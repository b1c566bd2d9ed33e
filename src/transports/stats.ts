import type { Stats } from "./transport.ts";

/** The counts of a transport that has done nothing yet. */
export function newStats(): Stats {
  return { puts: 0, confirms: 0, gets: 0, redeliveries: 0, reconnects: 0, outstanding: 0 };
}
