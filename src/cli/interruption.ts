// Invariants: the first signal aborts the command, which gives back what it holds. The second ends the process at once.

import process from "node:process";

/** The numbers of the signals that end a command. */
const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

type SignalName = keyof typeof numbers;

/** The reason of a command's signal after a signal of the system: Ctrl-C sends SIGINT. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(signal: SignalName) {
    super(`ended by ${signal}`);
    this.exitCode = 128 + numbers[signal];
  }
}

/** Listens to the signals that end a command. */
export class Interruption {
  readonly #abort = new AbortController();
  readonly #listeners = new Map<SignalName, () => void>();

  constructor() {
    for (const name of Object.keys(numbers) as SignalName[]) {
      if (process.platform === "win32" && name === "SIGTERM") continue; // Windows has no such signal
      const listener = () => this.#received(name);
      this.#listeners.set(name, listener);
      process.on(name, listener);
    }
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  #received(name: SignalName): void {
    if (this.#abort.signal.aborted) process.exit(128 + numbers[name]);
    this.#abort.abort(new Interrupted(name));
  }

  end(): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
