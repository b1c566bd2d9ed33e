import type { Link } from "../transport.ts";

/**
 * Resolves when a link is attached. If it cannot be, or `signal` is aborted before, rejects and closes it.
 *
 * @param attach resolves when the link is attached
 * @param end ends what the link does, for a reason
 */
export async function openLink(
  link: Link,
  signal: AbortSignal,
  attach: () => Promise<void>,
  end: (reason: Error) => void,
): Promise<void> {
  const onAbort = () => end(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await attach();
  } catch (error) {
    end(error as Error);
    link.close().catch(() => {}); // an attachment may be under way, and succeed
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
