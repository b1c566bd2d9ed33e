import { closeSync, type FSWatcher, openSync, rmSync, watch, writeSync } from "node:fs";

/**
 * A file that this session watches, and to which other processes and threads write to wake it. A wake-up takes 0.1
 * to 1 ms, and needs no permission except to read and write the file.
 */
export class WakeupFile {
  readonly #file: string;
  readonly #watcher: FSWatcher | undefined;

  /** @param woken called soon after a wake-up; several wake-ups may cause one call */
  constructor(file: string, woken: () => void) {
    this.#file = file;
    closeSync(openSync(file, "wx", 0o600));
    this.#watcher = watcherOf(file, () => {
      woken();
      queueMicrotask(() => this.unref());
    });
  }

  /** Whether the file is watched. The system may have no more watches, so that the session must poll. */
  get isWatched(): boolean {
    return this.#watcher !== undefined;
  }

  /** Lets the process exit. Deno requires the call after each change of the file. */
  unref(): void {
    this.#watcher?.unref();
  }

  /** Ends watching, and removes the file. */
  close(): void {
    this.#watcher?.close();
    rmSync(this.#file, { force: true });
  }
}

function watcherOf(file: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(file, { persistent: false }, changed);
    watcher.on("error", () => {}); // from now on, the session notices messages in its next round
    watcher.unref();
    return watcher;
  } catch {
    return undefined;
  }
}

/** Wakes other sessions by their wake-up files, which it keeps open. */
export class Waker {
  readonly #descriptors = new Map<string, number>();

  wake(file: string): void {
    try {
      let descriptor = this.#descriptors.get(file);
      if (descriptor === undefined) this.#descriptors.set(file, descriptor = openSync(file, "r+"));
      writeSync(descriptor, wakeupByte, 0, 1, 0);
    } catch {
      this.forget(file); // the session has ended
    }
  }

  /** Closes the wake-up file of a session that has ended. */
  forget(file: string): void {
    const descriptor = this.#descriptors.get(file);
    if (descriptor !== undefined) closeSync(descriptor);
    this.#descriptors.delete(file);
  }

  close(): void {
    for (const file of [...this.#descriptors.keys()]) this.forget(file);
  }
}

const wakeupByte = new Uint8Array([0x2e]);

/** Reports whether a file contains what a `Waker` writes. */
export function isWakeup(content: Uint8Array): boolean {
  return content.length === 1 && content[0] === wakeupByte[0];
}
