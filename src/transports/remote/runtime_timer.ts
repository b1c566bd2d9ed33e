import { unref } from "../../shared/timers.ts";
import type { Refable } from "./process_ref.ts";

// The functions of this moment: what a program's tests put in their place later must not move a connection's timers.
const { setTimeout, clearTimeout } = globalThis;

/** A timer of the runtime, which keeps the process alive unless `unref` is called. */
export class RuntimeTimer implements Refable {
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(fire: () => void, ms: number) {
    this.#timer = setTimeout(fire, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  ref(): void {
    const timer = this.#timer;
    if (typeof timer === "object") (timer as { ref?(): void }).ref?.();
    else (globalThis as { Deno?: { refTimer?(id: number): void } }).Deno?.refTimer?.(timer);
  }

  unref(): void {
    unref(this.#timer);
  }
}
