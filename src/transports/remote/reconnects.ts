import type { ConnectionWatcher, Stats } from "../transport.ts";

/** Returns a watcher that counts the connections that follow a lost one, and passes everything on. */
export function countingReconnects(
  stats: Stats,
  watcher: ConnectionWatcher | undefined,
): ConnectionWatcher {
  return {
    connected: (isAgain) => {
      if (isAgain) stats.reconnects++;
      watcher?.connected(isAgain);
    },
    disconnected: (error) => watcher?.disconnected(error),
    failed: (error, pause) => watcher?.failed(error, pause),
    blocked: (reason) => watcher?.blocked(reason),
    warned: (problem) => watcher?.warned?.(problem),
    noted: (event) => watcher?.noted?.(event),
  };
}
