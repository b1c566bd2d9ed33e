import process from "node:process";

/**
 * The CPU time that this process has used, in milliseconds. For limits on computation: unlike the time of a clock, it
 * does not pass while the machine does something else.
 */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
