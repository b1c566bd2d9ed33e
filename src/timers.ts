/** Lets the process exit although the timer is pending, where the runtime has processes. */
export function unref(timer: ReturnType<typeof setTimeout>): void {
  // Node and Bun return an object, Deno a number or an object, browsers a number.
  if (typeof timer === "object") (timer as { unref?(): void }).unref?.();
  else (globalThis as { Deno?: { unrefTimer?(id: number): void } }).Deno?.unrefTimer?.(timer);
}
