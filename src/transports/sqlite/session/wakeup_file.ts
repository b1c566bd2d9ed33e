import { closeSync, type FSWatcher, openSync, rmSync, watch, writeSync } from "node:fs";

/**
 * Wakes a session of another process, or another thread: who has written something for it changes its
 * file, which it watches. That takes 0.1 to 1 ms, and needs no permission but to read and write there.
 */
export class Bell {
  readonly #file: string;
  readonly #watcher: FSWatcher | undefined;

  /** @param heard called some time after each ring, and once for several */
  constructor(file: string, heard: () => void) {
    this.#file = file;
    closeSync(openSync(file, "wx", 0o600));
    this.#watcher = watcherOf(file, () => {
      heard();
      queueMicrotask(() => this.unref());
    });
  }

  /** Whether it hears; the system may have no more watches to give. */
  get isDeaf(): boolean {
    return this.#watcher === undefined;
  }

  /** Lets the process exit; Deno wants to be told after each change of the file. */
  unref(): void {
    this.#watcher?.unref();
  }

  end(): void {
    this.#watcher?.close();
    rmSync(this.#file, { force: true });
  }
}

function watcherOf(file: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(file, { persistent: false }, changed);
    watcher.on("error", () => {}); // it is deaf from here on, and the session looks now and then
    watcher.unref();
    return watcher;
  } catch {
    return undefined;
  }
}

/** Rings the bells of others. */
export class Ringer {
  readonly #open = new Map<string, number>();

  ring(file: string): void {
    try {
      let bell = this.#open.get(file);
      if (bell === undefined) this.#open.set(file, bell = openSync(file, "r+"));
      writeSync(bell, stroke, 0, 1, 0);
    } catch {
      this.forget(file); // whose it was has ended
    }
  }

  forget(file: string): void {
    const bell = this.#open.get(file);
    if (bell !== undefined) closeSync(bell);
    this.#open.delete(file);
  }

  end(): void {
    for (const file of [...this.#open.keys()]) this.forget(file);
  }
}

const stroke = new Uint8Array([0x2e]);
