/** Makes a call in a microtask after it was asked for, once, so that what happens in one turn is handled together. */
export class OncePerTurn {
  readonly #run: () => void;
  #isScheduled = false;

  constructor(call: () => void) {
    this.#run = () => {
      this.#isScheduled = false;
      call();
    };
  }

  get isScheduled(): boolean {
    return this.#isScheduled;
  }

  schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#run);
  }
}
