import { clearTimeout, setTimeout } from "node:timers";
import { backOff } from "../../../shared/backoff.ts";

/**
 * Something that is done at the broker, and done again on the next connection where one is lost meanwhile.
 * It outlasts connections.
 */
export class Job {
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
  refusal: RepeatedLoss | undefined;

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

/** What a job is refused with during which connections were lost again and again. */
export class RepeatedLoss extends Error {
  /** @param cause why the last connection was lost */
  constructor(cause: Error, count: number) {
    super(`the connection was lost ${count} times meanwhile, last: ${cause.message}`, { cause });
  }
}

/** A connection as far as suspects need it. */
interface Live {
  readonly isLost: boolean;
  readonly loss: Error | undefined;
}

/** A job on a connection. */
interface Run {
  readonly job: Job;
}

/**
 * Finds the operation for which the broker closes a connection, as it does for an error that it does not
 * blame on one AMQP channel (reply codes from 500 on). It does not say which one it was, and all others
 * on the connection suffer.
 *
 * All that were under way are suspects then, and are done one after the other on the next connection, while all
 * else goes on; one that ends is none any more. Where the connection is closed again, it is because of the one that
 * was tried, and twice is enough. An internal error (541) may be one of a broker in trouble, and is tried for as long
 * as a broker that cannot be reached.
 *
 * Whatever the reason, a job during which ten connections were lost is not repeated any more.
 *
 * Invariants: at most one suspect is tried at a time. Who waits for that is woken when it has ended, or the
 * connection is lost.
 */
export class Suspects {
  readonly #running = new Set<Run>();
  #tried: Run | undefined;
  #tooLong: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = [];
  /** What ends the pauses before suspects are tried again. */
  readonly #pauses = new Set<() => void>();
  /** Those that were refused, the oldest first: who begins anew does not end as many connections again. */
  readonly #refused = new Map<string, Job>();

  /**
   * @param key what is done, and with what
   * @param patience milliseconds for which it is repeated at least, where the broker may only be in trouble
   */
  job(key: string, patience: number): Job {
    return this.#refused.get(key) ?? new Job(key, patience);
  }

  /** Whether a job is under way, and may be what the connection is closed for. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /**
   * Does the work of a job. Rejects with a {@linkcode RepeatedLoss} where it was found to be what connections are
   * lost for.
   */
  async run<T>(job: Job, live: Live, work: () => Promise<T>): Promise<T> {
    if (job.refusal !== undefined) throw this.#refuse(job);
    const run: Run = { job };
    if (job.isSuspect) await this.#turn(run, live);
    this.#running.add(run);
    try {
      const result = await work();
      this.#clear(job);
      return result;
    } catch (error) {
      if (!live.isLost) this.#clear(job); // the broker has refused it, and that is all
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
    for (const { job } of running) {
      if (job.losses++ === 0) job.since = performance.now();
      const waited = performance.now() - job.since;
      if (isError && culprit === undefined) job.isSuspect = true;
      if (isError && culprit?.job === job) {
        job.isSuspect = true;
        const isEnough = ++job.convictions >= enough;
        const isInTrouble = reason.message.endsWith(internalError) && waited < job.patience;
        if (isEnough && !isInTrouble) job.refusal = new RepeatedLoss(reason, job.losses);
      } else if (job.losses >= mostLosses && waited > job.patience) {
        job.refusal = new RepeatedLoss(reason, job.losses);
      }
    }
    this.#running.clear();
    this.#endTrial();
    for (const wake of this.#waiting.splice(0)) wake();
    for (const end of this.#pauses) end();
  }

  #clear(job: Job): void {
    job.clear();
    if (this.#refused.size > 0) this.#refused.delete(job.key);
  }

  /** Whoever tries again is tried alone, and once is enough. */
  #refuse(job: Job): RepeatedLoss {
    const { refusal } = job;
    job.refusal = undefined;
    job.losses = 0;
    job.convictions = Math.min(job.convictions, enough - 1);
    this.#refused.delete(job.key);
    this.#refused.set(job.key, job);
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
    const { convictions } = run.job;
    if (convictions > 0) await this.#pause(backOff(convictions - 1, 50, 2000));
    while (this.#tried !== undefined && !live.isLost) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (live.isLost) throw live.loss;
    this.#tried = run;
    this.#tooLong = setTimeout(() => {
      this.#clear(run.job);
      this.#endTrial();
    }, longestTrial);
    this.#tooLong.unref();
  }

  /** Lets time pass, until the connection is lost. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms).unref();
      this.#pauses.add(end);
    });
  }

  #endTrial(): void {
    this.#tried = undefined;
    clearTimeout(this.#tooLong);
    this.#waiting.shift()?.();
  }
}

/** How often a connection is closed before its only suspect is refused. */
const enough = 2;

/** Connections that are lost during one job, before it is refused whatever the reasons were. */
const mostLosses = 10;

/** So many are remembered. */
const mostRefused = 100;

/** Milliseconds after which a suspect is none any more, as one that waits for what others have. */
const longestTrial = 1000;

/** How the client's error ends for what RabbitMQ calls INTERNAL_ERROR. */
const internalError = "(541)";
