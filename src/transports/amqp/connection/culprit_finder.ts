import { clearTimeout, setTimeout } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";
import { Pauses } from "../../../shared/pauses.ts";

/**
 * An operation at the broker that is repeated on the next connection if a connection is lost meanwhile. It outlasts
 * connections.
 */
export class BrokerOperation {
  readonly key: string;
  /** Milliseconds for which it is repeated at least if the broker may only be in trouble. */
  readonly retryTimeout: number;
  /** Whether the broker may have closed the connection because of it. */
  isSuspect = false;
  /** How often the broker has closed the connection while this was the only suspect. */
  closures = 0;
  /** The number of connections that were lost while it was running, for any reason. */
  losses = 0;
  /** When the first of them was lost, in ms of `performance.now()`. */
  lostSince = 0;
  /** Why it is not repeated. */
  refusal: RepeatedLossError | undefined;

  /** @param key names the operation and the channel */
  constructor(key: string, retryTimeout: number) {
    this.key = key;
    this.retryTimeout = retryTimeout;
  }

  /** Notes that it is not the cause of a loss. */
  clear(): void {
    this.isSuspect = false;
    this.closures = this.losses = 0;
  }
}

/** Rejects an operation during which connections were lost again and again. */
export class RepeatedLossError extends Error {
  /** @param cause why the last connection was lost */
  constructor(cause: Error, count: number) {
    super(`the connection was lost ${count} times meanwhile, last: ${cause.message}`, { cause });
  }
}

/** The part of a session that a culprit finder uses. */
interface Live {
  readonly isLost: boolean;
  readonly loss: Error | undefined;
}

/** A run of an operation on one connection. */
interface Run {
  readonly operation: BrokerOperation;
}

/**
 * Finds the operation because of which the broker closes a connection. The broker does so for an error that it does not
 * blame on one AMQP channel (reply codes from 500 on). It does not tell which operation caused it, and all others on
 * the connection fail, too.
 *
 * If several operations were running, all of them are suspects. On the next connection the suspects run one after the
 * other, while other operations run as usual. A suspect that ends before the connection does is cleared. If the broker
 * closes the connection again, the running suspect is the cause, as is an operation that ran alone; the second time, it
 * is refused. An internal error (541) may come from a broker in trouble: the operation is repeated then until its
 * `retryTimeout` is over.
 *
 * For whatever reason, an operation during which ten connections were lost is refused after its `retryTimeout`.
 *
 * Invariants: at most one suspect runs at a time. A waiting suspect is woken when the running one ends, or the
 * connection is lost.
 */
export class CulpritFinder {
  readonly #running = new Set<Run>();
  /** The run of a suspect. */
  #trial: Run | undefined;
  #trialTimer: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = [];
  /** The pauses before suspects run again. */
  readonly #pauses = new Pauses();
  /** The operations that were refused, the oldest first. A new attempt of one does not cost as many connections. */
  readonly #refused = new Map<string, BrokerOperation>();

  /**
   * @param key names the operation and the channel
   * @param retryTimeout milliseconds for which it is repeated at least if the broker may only be in trouble
   */
  operation(key: string, retryTimeout: number): BrokerOperation {
    return this.#refused.get(key) ?? new BrokerOperation(key, retryTimeout);
  }

  /** Whether an operation is running that may be the cause if the broker closes the connection. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Does the work of an operation. Rejects with a RepeatedLossError if it was found to be the cause of losses. */
  async run<T>(operation: BrokerOperation, live: Live, work: () => Promise<T>): Promise<T> {
    if (operation.refusal !== undefined) throw this.#refuse(operation);
    const run: Run = { operation };
    if (operation.isSuspect) await this.#beginTrial(run, live);
    this.#running.add(run);
    try {
      const result = await work();
      this.#clear(operation);
      return result;
    } catch (error) {
      if (!live.isLost) this.#clear(operation); // the broker has refused it, and kept the connection
      throw error;
    } finally {
      this.#running.delete(run);
      if (this.#trial === run) this.#endTrial();
    }
  }

  /**
   * Notes that the connection is lost.
   *
   * @param isError whether the broker has closed it for an error
   */
  lost(reason: Error, isError: boolean): void {
    const running = [...this.#running];
    const culprit = this.#trial ?? (running.length === 1 ? running[0] : undefined);
    const now = performance.now();
    for (const { operation } of running) {
      if (operation.losses++ === 0) operation.lostSince = now;
      const waited = now - operation.lostSince;
      if (isError && culprit === undefined) operation.isSuspect = true;
      if (isError && culprit?.operation === operation) {
        operation.isSuspect = true;
        const isProved = ++operation.closures >= maxClosures;
        const isInTrouble = reason.message.endsWith(internalError) &&
          waited < operation.retryTimeout;
        if (isProved && !isInTrouble) {
          operation.refusal = new RepeatedLossError(reason, operation.losses);
        }
      } else if (operation.losses >= maxLosses && waited > operation.retryTimeout) {
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

  /** Takes the refusal of an operation. A later attempt is a suspect, and is refused after one more closure. */
  #refuse(operation: BrokerOperation): RepeatedLossError {
    const { refusal } = operation;
    operation.refusal = undefined;
    operation.losses = 0;
    operation.closures = Math.min(operation.closures, maxClosures - 1);
    this.#refused.delete(operation.key);
    this.#refused.set(operation.key, operation);
    if (this.#refused.size > maxRefused) {
      for (const oldest of this.#refused.keys()) {
        this.#refused.delete(oldest);
        break;
      }
    }
    return refusal!;
  }

  /** Waits until no other suspect is running. */
  async #beginTrial(run: Run, live: Live): Promise<void> {
    const { closures } = run.operation;
    if (closures > 0) await this.#pauses.begin(backOff(closures - 1, 50, 2000), false);
    while (this.#trial !== undefined && !live.isLost) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (live.isLost) throw live.loss;
    this.#trial = run;
    this.#trialTimer = setTimeout(() => {
      this.#clear(run.operation);
      this.#endTrial();
    }, maxTrial);
    this.#trialTimer.unref();
  }

  #endTrial(): void {
    this.#trial = undefined;
    clearTimeout(this.#trialTimer);
    this.#waiting.shift()?.();
  }
}

/** How often a connection is closed before its only suspect is refused. */
const maxClosures = 2;

/** The number of connections lost during an operation after which it is refused, whatever the reason of each. */
const maxLosses = 10;

/** The number of refused operations that are remembered. */
const maxRefused = 100;

/** Milliseconds after which a running suspect is cleared: it may wait for something that another consumer has. */
const maxTrial = 1000;

/** The end of AMQPClient's error text for RabbitMQ's INTERNAL_ERROR. */
const internalError = "(541)";
