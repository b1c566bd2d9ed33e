import { clearTimeout, setTimeout } from "node:timers";

/** A link that waits. */
export interface Watched {
  /** Whether a message comes to this link if the process that has it dies. */
  readonly isNext: boolean;
  /**
   * Has the server look for what dead processes held. Resolves when it has, also if it has failed.
   *
   * @param isUrgent whether a process may just have died; the server then looks sooner where many processes are attached
   */
  tick(isUrgent?: boolean): Promise<void>;
}

/**
 * The links of one connection that wait. A server tells nobody that a client has gone, so someone must look:
 *
 * - each waiting link has the server look twice a second, or, if more than 250 links wait, less often: 250 of them in turn;
 * - while a link is the next to get what another process holds, one question in 10 to 50 ms for the whole process asks how
 *   many clients have left the server, and these links look if that number has changed: 500 of them in a second at most, on
 *   average. Only the process whose claim is the first of its channel asks, however many wait there.
 */
export class Watch {
  readonly #departures: () => Promise<number | undefined>;
  readonly #links = new Set<Watched>();
  /** The number at the last question; undefined before the first, so that all look then. */
  #known: number | undefined;
  #pause = shortest;
  #isAsking = false;
  /** Whether the server tells the number. */
  #isTold = true;
  #fast: ReturnType<typeof setTimeout> | undefined;
  #slow: ReturnType<typeof setTimeout> | undefined;

  /** @param departures resolves with how many clients have left the server; undefined if it does not tell */
  constructor(departures: () => Promise<number | undefined>) {
    this.#departures = departures;
  }

  /** The link waits. */
  add(link: Watched): void {
    this.#links.add(link);
    this.#slow ??= later(() => this.#look(), lookTime);
  }

  /** The link is the next to get what another process holds. */
  next(link: Watched): void {
    if (!this.#isTold || !this.#links.has(link)) return;
    if (this.#fast !== undefined || this.#isAsking) return;
    this.#pause = shortest;
    this.#fast = later(() => this.#ask(), this.#pause);
  }

  /** The link waits no more. */
  delete(link: Watched): void {
    this.#links.delete(link);
    if (this.#links.size === 0) this.end();
  }

  end(): void {
    clearTimeout(this.#fast);
    clearTimeout(this.#slow);
    this.#fast = this.#slow = this.#known = undefined;
    this.#links.clear();
  }

  /** Has the server look for some links, which come last then. */
  #look(): void {
    for (const link of firstOf(this.#links, mostLooks)) {
      this.#links.delete(link);
      this.#links.add(link);
      link.tick();
    }
    this.#slow = later(() => this.#look(), lookTime);
  }

  async #ask(): Promise<void> {
    this.#fast = undefined;
    this.#isAsking = true;
    let looks = 0;
    try {
      const count = await this.#departures();
      if (count === undefined) this.#isTold = false;
      else if (count !== this.#known) {
        this.#known = count; // before they look: who dies meanwhile changes it again
        const next = this.#next;
        looks = next.length;
        for (let i = 0; i < looks; i += mostAtOnce) {
          await Promise.all(next.slice(i, i + mostAtOnce).map((link) => link.tick(true)));
        }
      }
    } catch {
      return; // the connection is lost, and the next one has a watch of its own
    } finally {
      this.#isAsking = false;
    }
    if (!this.#isTold || this.#next.length === 0) {
      this.#known = undefined;
      return;
    }
    this.#pause = Math.min(1.1 * this.#pause, longest);
    // Clients of other programs may come and go all the time.
    this.#fast = later(() => this.#ask(), Math.max(this.#pause, looks * lookTime / mostLooks));
  }

  get #next(): Watched[] {
    return [...this.#links].filter(({ isNext }) => isNext);
  }
}

function firstOf<T>(all: Iterable<T>, count: number): T[] {
  const first: T[] = [];
  for (const each of all) {
    if (first.length === count) break;
    first.push(each);
  }
  return first;
}

function later(call: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(call, ms);
  timer.unref();
  return timer;
}

/** Milliseconds between two questions for the number of clients that have left: first, and after many. */
const shortest = 10;
const longest = 50;

/** Milliseconds after which a waiting link has the server look. */
const lookTime = 500;

/** How many links look in that time, so that many channels of one process do not keep the server busy. */
const mostLooks = 250;

/** How many links look at once when a process may have died. */
const mostAtOnce = 50;
