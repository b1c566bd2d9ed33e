import { isMissing } from "./failure.ts";
import type { Session } from "./session.ts";

/** How many messages are ready in a queue; undefined if there is no such queue. */
export async function depth(session: Session, name: string): Promise<number | undefined> {
  try {
    const queue = await session.administer((channel) =>
      channel.queueDeclare(name, { passive: true, durable: true })
    );
    return queue.messageCount;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
