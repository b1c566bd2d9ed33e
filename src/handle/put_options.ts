import type { OperationOptions } from "./operation.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import type { Message, PutTerm } from "../transports/transport.ts";

/**
 * How a value is put. What a transport cannot do, it refuses: memory and SQLite take all three,
 * RabbitMQ takes `expires`.
 */
export interface PutOptions extends OperationOptions {
  /**
   * Milliseconds after the put before which nobody gets the value, 0 to 4,294,967,295; then it goes to the
   * end of those that wait. The put resolves at once, and `depth` does not count the value till then.
   */
  readonly delay?: number;
  /**
   * Milliseconds after the put from which on nobody gets the value any more, 1 to 4,294,967,295 and more
   * than `delay`; it is dropped then, as what was received is when it is released later. RabbitMQ drops it,
   * and ceases to count it, when it comes to the queue's head
   * (https://www.rabbitmq.com/docs/ttl#per-message-ttl-in-publishers); there, what is sent or put again
   * after a loss of the connection or with `maxAttempts` begins anew.
   */
  readonly expires?: number;
  /**
   * A safe integer, default 0: of the values that wait, one of the highest priority is next, and among
   * equals the oldest. What a process has read ahead, for 20 ms at most, stays before what is put later.
   */
  readonly priority?: number;
}

/** What a message says of how it is to be given out. */
export type Terms = Pick<Message, PutTerm>;

/**
 * The terms among the options; undefined where there are none.
 *
 * @throws {ChannelConfigError} where nobody could get the value
 */
export function termsOf({ delay, expires, priority }: PutOptions): Terms | undefined {
  if (delay === undefined && expires === undefined && priority === undefined) return undefined;
  if (delay !== undefined && expires !== undefined && expires <= delay) {
    throw new ChannelConfigError(
      `put: the option expires takes more than delay, ${delay} ms, and got ${expires}; else nobody gets ` +
        "the value",
    );
  }
  const terms = {
    ...delay ? { delay: Math.ceil(delay) } : {},
    ...expires === undefined ? {} : { expires: Math.ceil(expires) },
    ...priority ? { priority } : {},
  };
  return Object.keys(terms).length === 0 ? undefined : terms;
}

/** @throws {ChannelConfigError} for what the transport cannot do */
export function checkTerms(
  terms: Terms,
  { address, terms: offered }: { readonly address: string; readonly terms: readonly PutTerm[] },
): void {
  for (const term of Object.keys(terms) as PutTerm[]) {
    if (offered.includes(term)) continue;
    const scheme = /^[^:]*:/.exec(address)?.[0] ?? address;
    const rest = offered.length === 0 ? "none" : `${offered.join(" and ")} only`;
    throw new ChannelConfigError(
      `put: the option ${term} is not for ${address}: of such options ${scheme} takes ${rest}`,
    );
  }
}
