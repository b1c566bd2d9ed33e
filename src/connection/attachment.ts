import type { CloseReason } from "../shared/errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { unlessAborted } from "../shared/unless_aborted.ts";
import { isCloseAllEvent } from "../transports/close_all_event.ts";
import type { Link, LinkObserver } from "../transports/transport.ts";

/** A handle, as its attachment calls it. */
export interface Attached {
  /** Called once, when the handle is added to its attachment, before anything else is. */
  joined(attachment: Attachment): void;
  /**
   * Called once, when the channel is closed for all handles. The promise resolves when the operations that the handle
   * has sent are settled, within a bounded time; it never rejects.
   */
  terminate(reason: CloseReason): Promise<void>;
  /** Called for an announced event that does not close the channel. */
  announced(event: Uint8Array): void;
  /** Called when `count` announced events were lost. */
  missed(count: number): void;
}

/**
 * The attachment of this process to one channel: the link that all its handles on the channel share.
 *
 * Invariants: the attachment has handles, or waits for its first. Once `closing` is set it accepts no handle and
 * forwards no event; a handle that needs the channel waits for `closing` and then opens a new attachment.
 */
export class Attachment implements LinkObserver {
  /** The link; set once `opened` has resolved. */
  link!: Link;
  /** Resolves when the link is open. */
  readonly opened: Promise<void>;
  /** Resolves when the link is closed; undefined while it is open or opening. Never rejects. */
  closing: Promise<void> | undefined;
  readonly #handles = new Set<Attached>();
  /** The number of handles that wait for the link to open. */
  #waiting = 0;
  readonly #onClosed: () => void;
  readonly #abandoned = new AbortController();

  /**
   * @param open opens the link; its signal is aborted when no handle waits for the link any more
   * @param onClosed called once, when the link is closed or could not be opened
   */
  constructor(
    open: (observer: LinkObserver, signal: AbortSignal) => Promise<Link>,
    onClosed: () => void,
  ) {
    this.#onClosed = onClosed;
    this.opened = open(this, this.#abandoned.signal).then((link) => {
      this.link = link;
    }, (error) => {
      if (this.closing === undefined) {
        this.closing = Promise.resolve();
        onClosed();
      }
      throw error;
    });
  }

  /** Whether a handle uses the attachment. */
  get isShared(): boolean {
    return this.#handles.size > 0;
  }

  /** Resolves when the link is open; rejects if opening fails or `signal` is aborted. */
  async awaited(signal: AbortSignal): Promise<void> {
    this.#waiting++;
    try {
      await unlessAborted(this.opened, signal);
    } finally {
      this.#waiting--;
      // With no handle left, an unreachable broker is not retried.
      if (signal.aborted && this.#waiting === 0 && !this.isShared) {
        this.#abandoned.abort(signal.reason);
        this.#close();
      }
    }
  }

  add(handle: Attached): void {
    this.#handles.add(handle);
    handle.joined(this);
  }

  /** Removes a handle; the last one closes the link. Resolves when the link is closed, or at once if others remain. */
  remove(handle: Attached): Promise<void> {
    if (this.#handles.delete(handle) && this.#handles.size === 0) this.#close();
    return this.#handles.size === 0 ? this.closing! : Promise.resolve();
  }

  /** @param by the handle that announced the event, which is not called */
  announced(event: Uint8Array, by?: Attached): void {
    if (isCloseAllEvent(event)) return this.terminate("closeAll");
    for (const handle of [...this.#handles]) if (handle !== by) handle.announced(event);
  }

  missed(count: number): void {
    for (const handle of [...this.#handles]) handle.missed(count);
  }

  gone(): void {
    this.terminate("delete");
  }

  /** Closes every handle, and then the link. */
  terminate(reason: CloseReason): void {
    const handles = [...this.#handles];
    this.#handles.clear();
    this.#close(Promise.all(handles.map((handle) => handle.terminate(reason))));
  }

  /** @param settled resolves when the handles no longer need the link */
  #close(settled: Promise<unknown> = Promise.resolve()): void {
    this.closing ??= this.#closeAfter(settled).then(this.#onClosed);
  }

  async #closeAfter(settled: Promise<unknown>): Promise<void> {
    const opened = this.opened.catch(() => {});
    if (this.link === undefined) await within(closeTimeout, opened);
    await settled;
    if (this.link !== undefined) await within(closeTimeout, this.link.close());
    else opened.then(() => this.link?.close()); // the link opens later than anyone waits
  }
}
