import { backOff } from "../shared/backoff.ts";
import type { Link } from "../transports/transport.ts";
import type { Pending } from "./operation.ts";

/** Resolves when no message waits in the channel, or when `operation` has settled otherwise. */
export function whenEmpty(link: Link, operation: Pending): Promise<void> {
  if (link.awaitEmpty === undefined) return pollUntilEmpty(link, operation);
  return new Promise((resolve) => {
    const waiter = { empty: resolve };
    operation.whenSettled(() => link.withdraw(waiter));
    link.awaitEmpty!(waiter);
  });
}

/** Reads the depth repeatedly, with growing pauses. */
async function pollUntilEmpty(link: Link, operation: Pending): Promise<void> {
  let wake = () => {};
  operation.whenSettled(() => wake());
  for (let polls = 0; !operation.settled && await link.depth() > 0; polls++) {
    if (operation.settled) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, backOff(polls, shortestPause, longestPause));
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Milliseconds. */
const shortestPause = 2;
const longestPause = 250;
