/** What waits, and holds bytes that may be a part of a larger buffer. */
export interface Resident {
  /** Its place among the young; -1 where it is not among them. Only the nursery writes it. */
  young: number;
  /** Copies its bytes out of a buffer that they share with others. */
  settle(): void;
}

/**
 * The messages of this isolate that have begun to wait last. The codec lets messages share buffers, so that
 * one which waits for long would hold the memory of many that do not. Most leave soon: what still waits when
 * `most` others have begun to is worth a copy.
 */
class Nursery {
  readonly #young: (Resident | undefined)[] = [];
  #next = 0;

  add(resident: Resident): void {
    const place = this.#next;
    const oldest = this.#young[place];
    if (oldest !== undefined) {
      oldest.young = -1;
      oldest.settle();
    }
    this.#young[place] = resident;
    resident.young = place;
    this.#next = (place + 1) % most;
  }

  /** It waits no more. */
  remove(resident: Resident): void {
    if (resident.young < 0) return;
    this.#young[resident.young] = undefined;
    resident.young = -1;
  }

  removeAll(which: (resident: Resident) => boolean): void {
    for (const resident of this.#young) {
      if (resident !== undefined && which(resident)) this.remove(resident);
    }
  }
}

/** So many may hold a buffer of the codec's each. */
const most = 64;

/** That of this isolate: how many messages have come meanwhile does not depend on the channel. */
export const nursery: Nursery = new Nursery();
