/** What a {@linkcode Schedule} knows of a part. */
export interface Plan {
  /** What its tests run on. */
  readonly source: object;
  /** Whether its tests use a broker of `source` that the lane starts. */
  readonly usesBroker: boolean;
  /** Whether it mostly waits. */
  readonly waits: boolean;
}

/** Only for more parts than this does a lane start a broker which another lane has. */
const FEW = 6;

/** With more lanes than this, two run the parts that mostly wait: in one, these would be the last to end. */
const MANY = 5;

/** How many lanes have the first RabbitMQ from the start. */
const FIRST = 2;

/**
 * Decides which part each lane runs next. The first lane, or two of many, run the parts that mostly wait, one after the
 * other, and only then others. To start a broker, and to restart it at the end, takes ten seconds of CPU time, so only
 * some lanes have one: the last lane runs parts that use none, each further RabbitMQ has a lane of its own, and two
 * others have the first.
 */
export class Schedule<P extends Plan> {
  readonly #parts: P[];
  /** The source whose broker a lane is to have. */
  readonly #homes: (object | undefined)[];
  /** The source whose broker a lane has. */
  readonly #current: (object | undefined)[];
  readonly #isReady: (source: object) => boolean;
  /** How many lanes, the first ones, run the parts that mostly wait. */
  readonly #waiting: number;

  /**
   * @param parts in the order in which they start, as far as possible
   * @param isReady reports whether a source is available now
   */
  constructor(parts: readonly P[], lanes: number, isReady: (source: object) => boolean) {
    this.#parts = [...parts];
    this.#isReady = isReady;
    const [first, ...further] = new Set(
      parts.filter(({ usesBroker }) => usesBroker).map(({ source }) => source),
    );
    this.#current = Array.from({ length: lanes }, () => undefined);
    this.#homes = [...this.#current];
    this.#waiting = lanes > MANY ? 2 : 1;
    // From the last lane but one down: the further ones, and then the first in those that are left.
    let lane = lanes - 2;
    for (const source of further) if (lane > this.#waiting) this.#homes[lane--] = source;
    const last = Math.max(this.#waiting, lane - FIRST + 1);
    for (; lane >= last; lane--) this.#homes[lane] = first;
  }

  /** Removes the next part for a lane and returns it; undefined if there is none for it any more. */
  take(lane: number): P | undefined {
    const isWaiting = lane < this.#waiting;
    const own = this.#parts.filter(({ waits }) => waits === isWaiting);
    const parts = own.length > 0 ? own : this.#parts;
    const home = this.#homes[lane];
    const on = (source: object | undefined) =>
      parts.find((part) => part.usesBroker && part.source === source && this.#isReady(part.source));
    const part = (isWaiting ? own[0] : undefined) ?? on(home) ?? on(this.#current[lane]) ??
      parts.find(({ usesBroker, source }) => !usesBroker && this.#isReady(source)) ??
      parts.find((part) => !this.#isLeft(part, lane));
    if (part === undefined) return undefined;
    this.#parts.splice(this.#parts.indexOf(part), 1);
    if (part.usesBroker) this.#current[lane] = part.source;
    return part;
  }

  /** Reports whether a part is one of a few that another lane runs soon. */
  #isLeft({ source, usesBroker }: P, lane: number): boolean {
    if (!usesBroker || source === this.#homes[lane]) return false;
    const others = this.#parts.filter((part) => part.usesBroker && part.source === source);
    return others.length <= FEW && this.#homes.includes(source);
  }
}
