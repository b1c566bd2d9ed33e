import type { Stats } from "./transport.ts";

/** Returns the counts of a new transport. */
export function newStats(): Stats {
  return {
    puts: 0,
    confirms: 0,
    gets: 0,
    redeliveries: 0,
    reconnects: 0,
    outstanding: 0,
    loans: 0,
  };
}
