/** A waiting message, whose bytes may be part of a larger buffer. */
export interface RecentMessage {
  /** Its slot among the recent messages; -1 if it has none. Only `RecentMessages` writes it. */
  slot: number;
  /** Copies the bytes out of a buffer that they share with other messages. */
  copyBytes(): void;
}

/**
 * The messages that began to wait most recently.
 *
 * The codec lets messages share buffers, so one message that waits for long would keep the memory of many others
 * alive. Most messages leave soon. A message that still waits when `slots` others have begun to wait is worth a copy.
 */
class RecentMessages {
  readonly #messages: (RecentMessage | undefined)[] = [];
  #nextSlot = 0;

  add(message: RecentMessage): void {
    const slot = this.#nextSlot;
    const oldest = this.#messages[slot];
    if (oldest !== undefined) {
      oldest.slot = -1;
      oldest.copyBytes();
    }
    this.#messages[slot] = message;
    message.slot = slot;
    this.#nextSlot = (slot + 1) % slots;
  }

  /** Removes a message that has left, if it has a slot. */
  remove(message: RecentMessage): void {
    if (message.slot < 0) return;
    this.#messages[message.slot] = undefined;
    message.slot = -1;
  }

  removeAll(isRemoved: (message: RecentMessage) => boolean): void {
    for (const message of this.#messages) {
      if (message !== undefined && isRemoved(message)) this.remove(message);
    }
  }
}

/** How many waiting messages may each keep a buffer of the codec alive. */
const slots = 64;

/** The recent messages of all channels of this isolate, which share the codec's buffers. */
export const recentMessages: RecentMessages = new RecentMessages();
