import type { HrTime } from "@opentelemetry/api";

/** A moment: the time of day when it was noted, and the monotonic clock then. */
export interface Moment {
  readonly time: number;
  readonly ticks: number;
}

export function moment(): Moment {
  return { time: Date.now(), ticks: performance.now() };
}

/** Returns the milliseconds since a moment, which no change of the time of day affects. */
export function since({ ticks }: Moment): number {
  return performance.now() - ticks;
}

/** Returns the time that is `ms` milliseconds after a moment, as OpenTelemetry takes it. */
export function timeOf({ time }: Moment, ms = 0): HrTime {
  const seconds = Math.floor((time + ms) / 1000);
  return [seconds, Math.round((time - seconds * 1000 + ms) * 1e6)];
}
