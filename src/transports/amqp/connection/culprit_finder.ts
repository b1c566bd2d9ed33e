import { clearTimeout, setTimeout } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";
import { Pauses } from "../../../shared/pauses.ts";

/**
 * Something that is done at the broker, and done again on the next connection where one is lost meanwhile.
 * It outlasts connections.
 */
export class BrokerOperation {
  readonly key: string;
  /** Milliseconds for which it is repeated at least, where the broker may only be in trouble. */
  readonly patience: number;
  /** Whether the connection may have been closed because of it. */
  isSuspect = false;
  /** How often the broker has closed the connection while it was the only suspect. */
  convictions = 0;
  /** How many connections were lost meanwhile, for any reason. */
  losses = 0;
  /** When the first of them was. */
  since = 0;
  /** Why it is not done again. */
  refusal: RepeatedLossError | undefined;

  /** @param key what is done, and with what */
  constructor(key: string, patience: number) {
    this.key = key;
    this.patience = patience;
  }

  /** The connection has outlasted it. */
  clear(): void {
    this.isSuspect = false;
    this.convictions = this.losses = 0;
  }
}

/** What a operation is refused with during which connections were lost again and again. */
export class RepeatedLossError extends Error {
  /** @param cause why the last connection was lost */
  constructor(cause: Error, count: number) {
    super(`the connection was lost ${count} times meanwhile, last: ${cause.message}`, { cause });
  }
}

/** A connection as far as culprits need it. */
interface Live {
  readonly isLost: boolean;
  readonly loss: Error | undefined;
}

/** A operation on a connection. */
interface Run {
  readonly operation: BrokerOperation;
}

/**
 * Finds the operation for which the broker closes a connection, as it does for an error that it does not
 * blame on one AMQP channel (reply codes from 500 on). It does not say which one it was, and all others
 * on the connection suffer.
 *
 * All that were under way are culprits then, and are done one after the other on the next connection, while all
 * else goes on; one that ends is none any more. Where the connection is closed again, it is because of the one that
 * was tried, and twice is enough. An internal error (541) may be one of a broker in trouble, and is tried for as long
 * as a broker that cannot be reached.
 *
 * Whatever the reason, a operation during which ten connections were lost is not repeated any more.
 *
 * Invariants: at most one suspect is tried at a time. Who waits for that is woken when it has ended, or the
 * connection is lost.
 */
export class CulpritFinder {
  readonly #running = new Set<Run>();
  #tried: Run | undefined;
  #tooLong: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = [];
  /** What ends the pauses before culprits are tried again. */
  readonly #pauses = new Pauses();
  /** Those that were refused, the oldest first: who begins anew does not end as many connections again. */
  readonly #refused = new Map<string, BrokerOperation>();

  /**
   * @param key what is done, and with what
   * @param patience milliseconds for which it is repeated at least, where the broker may only be in trouble
   */
  operation(key: string, patience: number): BrokerOperation {
    return this.#refused.get(key) ?? new BrokerOperation(key, patience);
  }

  /** Whether a operation is under way, and may be what the connection is closed for. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /**
   * Does the work of a operation. Rejects with a {@linkcode RepeatedLossError} where it was found to be what connections are
   * lost for.
   */
  async run<T>(operation: BrokerOperation, live: Live, work: () => Promise<T>): Promise<T> {
    if (operation.refusal !== undefined) throw this.#refuse(operation);
    const run: Run = { operation };
    if (operation.isSuspect) await this.#turn(run, live);
    this.#running.add(run);
    try {
      const result = await work();
      this.#clear(operation);
      return result;
    } catch (error) {
      if (!live.isLost) this.#clear(operation); // the broker has refused it, and that is all
      throw error;
    } finally {
      this.#running.delete(run);
      if (this.#tried === run) this.#endTrial();
    }
  }

  /** The connection is lost. @param isError whether the broker has closed it for an error */
  lost(reason: Error, isError: boolean): void {
    const running = [...this.#running];
    const culprit = this.#tried ?? (running.length === 1 ? running[0] : undefined);
    for (const { operation } of running) {
      if (operation.losses++ === 0) operation.since = performance.now();
      const waited = performance.now() - operation.since;
      if (isError && culprit === undefined) operation.isSuspect = true;
      if (isError && culprit?.operation === operation) {
        operation.isSuspect = true;
        const isEnough = ++operation.convictions >= enough;
        const isInTrouble = reason.message.endsWith(internalError) && waited < operation.patience;
        if (isEnough && !isInTrouble) {
          operation.refusal = new RepeatedLossError(reason, operation.losses);
        }
      } else if (operation.losses >= mostLosses && waited > operation.patience) {
        operation.refusal = new RepeatedLossError(reason, operation.losses);
      }
    }
    this.#running.clear();
    this.#endTrial();
    for (const wake of this.#waiting.splice(0)) wake();
    this.#pauses.end();
  }

  #clear(operation: BrokerOperation): void {
    operation.clear();
    if (this.#refused.size > 0) this.#refused.delete(operation.key);
  }

  /** Whoever tries again is tried alone, and once is enough. */
  #refuse(operation: BrokerOperation): RepeatedLossError {
    const { refusal } = operation;
    operation.refusal = undefined;
    operation.losses = 0;
    operation.convictions = Math.min(operation.convictions, enough - 1);
    this.#refused.delete(operation.key);
    this.#refused.set(operation.key, operation);
    if (this.#refused.size > mostRefused) {
      for (const oldest of this.#refused.keys()) {
        this.#refused.delete(oldest);
        break;
      }
    }
    return refusal!;
  }

  /** Waits until no other suspect is tried. */
  async #turn(run: Run, live: Live): Promise<void> {
    const { convictions } = run.operation;
    if (convictions > 0) await this.#pauses.begin(backOff(convictions - 1, 50, 2000), false);
    while (this.#tried !== undefined && !live.isLost) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (live.isLost) throw live.loss;
    this.#tried = run;
    this.#tooLong = setTimeout(() => {
      this.#clear(run.operation);
      this.#endTrial();
    }, longestTrial);
    this.#tooLong.unref();
  }

  #endTrial(): void {
    this.#tried = undefined;
    clearTimeout(this.#tooLong);
    this.#waiting.shift()?.();
  }
}

/** How often a connection is closed before its only suspect is refused. */
const enough = 2;

/** Connections that are lost during one operation, before it is refused whatever the reasons were. */
const mostLosses = 10;

/** So many are remembered. */
const mostRefused = 100;

/** Milliseconds after which a suspect is none any more, as one that waits for what others have. */
const longestTrial = 1000;

/** How the client's error ends for what RabbitMQ calls INTERNAL_ERROR. */
const internalError = "(541)";
