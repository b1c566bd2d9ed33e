import { backOff } from "../shared/backoff.ts";
import { Pauses } from "../shared/pauses.ts";
import type { Link } from "../transports/transport.ts";
import type { Pending } from "./operation.ts";

/** Resolves when no message waits in the channel, or when `operation` has settled otherwise. */
export function whenEmpty(link: Link, operation: Pending): Promise<void> {
  if (link.awaitEmpty === undefined) return pollUntilEmpty(link, operation);
  return new Promise((empty, reject) => {
    const waiter = { empty, reject };
    operation.whenSettled(() => link.withdraw(waiter));
    link.awaitEmpty!(waiter);
  });
}

/** Reads the depth repeatedly, with growing pauses. */
async function pollUntilEmpty(link: Link, operation: Pending): Promise<void> {
  const pauses = new Pauses();
  operation.whenSettled(() => pauses.end());
  for (let polls = 0; !operation.settled && await link.depth() > 0; polls++) {
    if (operation.settled) return;
    await pauses.begin(backOff(polls, shortestPause, longestPause), true);
  }
}

/** Milliseconds. */
const shortestPause = 2;
const longestPause = 250;
