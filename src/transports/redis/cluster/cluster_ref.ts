import { clearInterval, setInterval } from "node:timers";
import { ProcessRef, type Refable } from "../../remote/process_ref.ts";

/**
 * Keeps the process alive while operations of a cluster's channels are pending: by a timer of its own, because several
 * connections carry them, and any of these may end.
 */
export class ClusterRef extends ProcessRef {
  constructor() {
    super();
    let timer: ReturnType<typeof setInterval> | undefined;
    super.use({
      ref: () => timer ??= setInterval(() => {}, 2 ** 30),
      unref: () => {
        clearInterval(timer);
        timer = undefined;
      },
    });
  }

  /** A socket, or a timer between two attempts, keeps nothing alive by itself. */
  override use(target: Refable): void {
    target.unref();
  }
}
