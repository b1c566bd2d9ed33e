import { uptime } from "../../../shared/host.ts";
import type { Statements } from "./statements.ts";

/** Milliseconds by which the machine's clock must differ from what is expected to have been set. */
const noticeable = 1000;
/** Milliseconds after its start in which a session believes others who say that the clock was set. */
const young = 2000;

/**
 * The time by which the file's messages are due and expire, in milliseconds. It is the machine's, but goes on
 * evenly while a session is there, whether someone sets the clock or not: `ahead` in the file says how far it
 * differs. Time in which the machine sleeps counts where the system tells of it (Deno: `--allow-sys=osUptime`).
 */
export class Clock {
  readonly #sql: Statements;
  /** What the file says, as far as is known. */
  #ahead = 0;
  /** The file's time when `performance.now()` was 0. */
  #origin = 0;
  /** The machine's time when `performance.now()` was 0, as of the last check. */
  #machine = 0;
  #started = 0;
  /** Milliseconds for which the machine has slept since its start, as of the last check; undefined if unknown. */
  #slept: number | undefined;

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** The file's time. */
  now(): number {
    return Math.round(performance.now() + this.#origin);
  }

  /** Reads the file. */
  start(): void {
    this.#ahead = this.#read();
    this.#machine = machine();
    this.#origin = this.#machine + this.#ahead;
    this.#slept = slept();
    this.#started = performance.now();
  }

  /** Whether `correct` has something to do. */
  get isWrong(): boolean {
    const isYoung = performance.now() - this.#started < young;
    return Math.abs(machine() - this.#machine) >= noticeable ||
      isYoung && Math.abs(this.#read() - this.#ahead) >= noticeable;
  }

  /** Says in the file how far the clock was set, unless another session has. Within a transaction. */
  correct(): Correction {
    const sleep = slept();
    const nap = sleep === undefined || this.#slept === undefined ? 0 : sleep - this.#slept;
    const isNap = nap >= noticeable;
    const moved = machine() - this.#machine;
    const set = moved - (isNap ? nap : 0);
    const isSet = Math.abs(set) >= noticeable;
    const found = this.#read();
    const isKnown = Math.abs(found - this.#ahead) < noticeable;
    if (isSet && isKnown) this.#sql.run("UPDATE clock SET ahead = ?", Math.round(found - set));
    return {
      machine: this.#machine + moved,
      slept: isNap ? sleep : this.#slept,
      ahead: this.#read(),
      // Who has seen no change, and has just begun, has begun between the change and its correction.
      origin: this.#origin + (isNap ? nap : 0) + (isSet || isKnown ? 0 : found - this.#ahead),
    };
  }

  /** It is in the file. */
  corrected({ machine, slept, ahead, origin }: Correction): void {
    this.#machine = machine;
    this.#slept = slept;
    this.#ahead = ahead;
    this.#origin = origin;
  }

  #read(): number {
    const ahead = this.#sql.get<{ ahead: unknown }>(
      "SELECT CASE WHEN abs(ahead) < 9007199254740991 THEN ahead END AS ahead FROM clock",
    )?.ahead;
    return typeof ahead === "number" ? ahead : 0; // another program may have written anything
  }
}

/** What is known when a correction is in the file. */
export interface Correction {
  readonly machine: number;
  readonly slept: number | undefined;
  readonly ahead: number;
  readonly origin: number;
}

function machine(): number {
  return Date.now() - performance.now();
}

/** Milliseconds that the system counts and `performance.now()` does not, from an origin of their own. */
function slept(): number | undefined {
  const seconds = uptime();
  return seconds === undefined ? undefined : seconds * 1000 - performance.now();
}
