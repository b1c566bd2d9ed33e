import type { OperationOptions } from "./operation.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import type { Message, PutTerm } from "../transports/transport.ts";

/**
 * The options of {@linkcode Channel.put}. `memory:`, `sqlite:` and `redis:` take `delay`, `expires` and `priority`; RabbitMQ
 * takes `expires`. A transport refuses an option that it does not take.
 */
export interface PutOptions extends OperationOptions {
  /**
   * Milliseconds after which the value can be received, 0 to 4,294,967,295; it then goes to the end of the channel. The put
   * resolves at once. Until then `depth` does not count the value.
   */
  readonly delay?: number;
  /**
   * Milliseconds after which the value is dropped, 1 to 4,294,967,295 and more than `delay`. A value that is on loan then
   * is dropped when it is released. RabbitMQ drops an expired value, and stops counting it, when it reaches the head of the
   * queue (https://www.rabbitmq.com/docs/ttl#per-message-ttl-in-publishers); on RabbitMQ the time begins anew when the value is
   * sent again after a connection loss, or released with `maxAttempts`.
   */
  readonly expires?: number;
  /**
   * A safe integer, default 0. The next value is the oldest of those with the highest priority. A value that a process has
   * read ahead, for 20 ms at most, stays before values that are put later.
   */
  readonly priority?: number;
}

/** The options that travel with the message. */
export type Terms = Pick<Message, PutTerm>;

/**
 * Returns the terms among the options; undefined if there are none.
 *
 * @throws {ChannelConfigError} if the value would expire before its delay ends
 */
export function termsOf({ delay, expires, priority }: PutOptions): Terms | undefined {
  if (delay === undefined && expires === undefined && priority === undefined) return undefined;
  if (delay !== undefined && expires !== undefined && expires <= delay) {
    throw new ChannelConfigError(
      `put: the option "expires" must be more than "delay", ${delay} ms, not ${expires}; otherwise the value ` +
        "cannot be received",
    );
  }
  const terms = {
    ...delay ? { delay: Math.ceil(delay) } : {},
    ...expires === undefined ? {} : { expires: Math.ceil(expires) },
    ...priority ? { priority } : {},
  };
  return Object.keys(terms).length === 0 ? undefined : terms;
}

/** @throws {ChannelConfigError} for a term that the transport does not take */
export function checkTerms(
  terms: Terms,
  { address, terms: offered }: { readonly address: string; readonly terms: readonly PutTerm[] },
): void {
  for (const term of Object.keys(terms) as PutTerm[]) {
    if (offered.includes(term)) continue;
    const scheme = /^[^:]*:/.exec(address)?.[0] ?? address;
    const rest = offered.length === 0 ? "none" : `${offered.join(" and ")} only`;
    throw new ChannelConfigError(
      `put: the option "${term}" is not for ${address}: of such options ${scheme} takes ${rest}`,
    );
  }
}
