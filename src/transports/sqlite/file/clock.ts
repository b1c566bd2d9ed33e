import { uptime } from "../../../shared/host.ts";
import type { Statements } from "./statements.ts";

/** The smallest difference, in milliseconds, that shows that the machine's clock was set. */
const minStep = 1000;
/** Milliseconds after its start in which a session adopts the correction of another session. */
const startTime = 2000;

/**
 * The time of the file, in milliseconds, by which messages are due and expire. It is the machine's time, but
 * runs evenly while a session is open, even if someone sets the machine's clock: `ahead` in the file is the
 * difference. The time during which the machine sleeps counts where the system tells its uptime (Deno:
 * `--allow-sys=osUptime`).
 */
export class FileClock {
  readonly #sql: Statements;
  /** The last known `ahead` of the file. */
  #ahead = 0;
  /** The file's time at which `performance.now()` was 0. */
  #origin = 0;
  /** The machine's time at which `performance.now()` was 0, as of the last check. */
  #machine = 0;
  #started = 0;
  /** Milliseconds for which the machine has slept, as of the last check; undefined if unknown. */
  #slept: number | undefined;

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** Returns the file's time. */
  now(): number {
    return Math.round(performance.now() + this.#origin);
  }

  /** Reads the difference from the file. */
  start(): void {
    this.#ahead = this.#readAhead();
    this.#machine = machineOrigin();
    this.#origin = this.#machine + this.#ahead;
    this.#slept = sleepTime();
    this.#started = performance.now();
  }

  /** Whether the machine's clock was set, so that `correct` must be called. */
  get isWrong(): boolean {
    const isStarting = performance.now() - this.#started < startTime;
    return Math.abs(machineOrigin() - this.#machine) >= minStep ||
      isStarting && Math.abs(this.#readAhead() - this.#ahead) >= minStep;
  }

  /** Writes the new difference to the file, unless another session has. It must be called within a transaction. */
  correct(): Correction {
    const slept = sleepTime();
    const sleep = slept === undefined || this.#slept === undefined ? 0 : slept - this.#slept;
    const hasSlept = sleep >= minStep;
    const moved = machineOrigin() - this.#machine;
    const set = moved - (hasSlept ? sleep : 0);
    const isSet = Math.abs(set) >= minStep;
    const found = this.#readAhead();
    const isKnown = Math.abs(found - this.#ahead) < minStep;
    if (isSet && isKnown) this.#sql.run("UPDATE clock SET ahead = ?", Math.round(found - set));
    return {
      machine: this.#machine + moved,
      slept: hasSlept ? slept : this.#slept,
      ahead: this.#readAhead(),
      // If the clock is unchanged and the difference is new, this session has started between the change of the
      // clock and its correction.
      origin: this.#origin + (hasSlept ? sleep : 0) + (isSet || isKnown ? 0 : found - this.#ahead),
    };
  }

  /** Applies a correction that was committed. */
  apply({ machine, slept, ahead, origin }: Correction): void {
    this.#machine = machine;
    this.#slept = slept;
    this.#ahead = ahead;
    this.#origin = origin;
  }

  #readAhead(): number {
    const ahead = this.#sql.get<{ ahead: unknown }>(
      "SELECT CASE WHEN abs(ahead) < 9007199254740991 THEN ahead END AS ahead FROM clock",
    )?.ahead;
    return typeof ahead === "number" ? ahead : 0; // another program may have written any value
  }
}

/** The state of a clock after a correction. */
export interface Correction {
  readonly machine: number;
  readonly slept: number | undefined;
  readonly ahead: number;
  readonly origin: number;
}

/** Returns the machine's time at which `performance.now()` was 0. */
function machineOrigin(): number {
  return Date.now() - performance.now();
}

/**
 * Returns the milliseconds that the system's uptime has counted and `performance.now()` has not. Only
 * differences between two calls mean something.
 */
function sleepTime(): number | undefined {
  const seconds = uptime();
  return seconds === undefined ? undefined : seconds * 1000 - performance.now();
}
