import { setTimeout as pause } from "node:timers/promises";

/** Returns a function that collects garbage, or undefined if the runtime does not allow it. */
export async function collector(): Promise<(() => Promise<void>) | undefined> {
  const { Bun } = globalThis as unknown as { Bun?: { gc(isFull: boolean): void } };
  if (Bun) {
    return async () => {
      await pause(1);
      Bun.gc(true);
      await pause(1);
    };
  }
  try {
    const [v8, vm] = await Promise.all([import("node:v8"), import("node:vm")]);
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    return async () => {
      await pause(1);
      gc();
      await pause(1);
    };
  } catch {
    return undefined;
  }
}
