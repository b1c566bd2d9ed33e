/** Keeps the process alive while it is on, by a timer that does nothing. */
export class KeepAlive {
  #timer: ReturnType<typeof setInterval> | undefined;

  set(isOn: boolean): void {
    if (isOn) this.#timer ??= setInterval(() => {}, interval);
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

/** In milliseconds; twelve days. */
const interval = 2 ** 30;
