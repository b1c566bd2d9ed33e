import type { Pending } from "./operation.ts";
import { backOff } from "../shared/backoff.ts";
import type { Link } from "../transports/transport.ts";

/** Resolves when no message waits in the channel; or when `operation`, for which it is, has settled otherwise. */
export function untilEmpty(link: Link, operation: Pending): Promise<void> {
  if (link.awaitEmpty === undefined) return askUntilEmpty(link, operation);
  return new Promise((resolve) => {
    const waiter = { empty: resolve };
    operation.whenSettled(() => link.withdraw(waiter));
    link.awaitEmpty!(waiter);
  });
}

/** Asks the transport after growing pauses. */
async function askUntilEmpty(link: Link, operation: Pending): Promise<void> {
  let wake = () => {};
  operation.whenSettled(() => wake());
  for (let asked = 0; !operation.settled && await link.depth() > 0; asked++) {
    if (operation.settled) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, backOff(asked, shortest, longest));
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Milliseconds between two questions, at first and at most. */
const shortest = 2;
const longest = 250;
