import { progress } from "./output.ts";

/** A way to do a job, `count` times. */
export interface Contender {
  readonly label: string;
  /** Runs before the clock starts. */
  readonly prepare?: (count: number) => Promise<void>;
  readonly run: (count: number) => Promise<void>;
  /** Runs after the clock stops; rejects if the job was not done. */
  readonly check?: (count: number) => Promise<void>;
}

/** The results of one contender over all rounds. */
export interface Figure {
  readonly label: string;
  /** Operations per second: the median of the rounds. */
  readonly rate: number;
  /** Its rate divided by the first contender's, for each round: median, minimum, maximum. */
  readonly ratio: readonly [median: number, least: number, most: number];
  /** The quartiles of the rounds' ratios. */
  readonly half: readonly [lower: number, upper: number];
}

/** How often each contender does the job. */
export interface Course {
  /** How often in each round. */
  readonly count: number;
  readonly rounds?: number;
  /** Shown as progress. */
  readonly title?: string;
  /** Returns the time in milliseconds; default: that of the wall clock. */
  readonly clock?: () => number;
}

/**
 * Lets contenders do the same job in turn, in rounds: if the machine's speed changes, it changes for all of them, so
 * that the ratios of a round are reliable. A first round does not count. Every other round is in reverse order, because
 * garbage of one contender slows the next one.
 */
export async function compare(
  contenders: readonly Contender[],
  { count, rounds = 7, title = "", clock = () => performance.now() }: Course,
): Promise<Figure[]> {
  const rates: number[][] = contenders.map(() => []);
  const order = [...contenders.entries()];
  for (let round = 0; round <= rounds; round++) {
    order.reverse();
    for (const [i, { label, prepare, run, check }] of order) {
      if (title) progress(`${title}: round ${round} of ${rounds}, ${label}`);
      await prepare?.(count);
      const start = clock();
      await run(count);
      const took = clock() - start;
      await check?.(count);
      if (round > 0) rates[i]!.push(count / took * 1000);
    }
  }
  progress();
  return contenders.map(({ label }, i) => {
    const ratios = rates[i]!.map((rate, round) => rate / rates[0]![round]!);
    return {
      label,
      rate: median(rates[i]!),
      ratio: [median(ratios), Math.min(...ratios), Math.max(...ratios)],
      half: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    };
  });
}

/** The median of some numbers. */
export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** The `q`-quantile of some numbers. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}
