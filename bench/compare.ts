// deno-lint-ignore-file no-console
/** One way to do a job: does it `count` times. */
export interface Contender {
  readonly label: string;
  /** Runs before the clock does. */
  readonly prepare?: (count: number) => Promise<void>;
  readonly run: (count: number) => Promise<void>;
}

/** What one contender reached, over all rounds. */
export interface Figure {
  readonly label: string;
  /** Operations per second, the median of the rounds. */
  readonly rate: number;
  /** Its rate divided by the first contender's, round by round: median, least, most. */
  readonly ratio: readonly [median: number, least: number, most: number];
  /** Half of the rounds' ratios are between these. */
  readonly half: readonly [lower: number, upper: number];
}

/**
 * Lets contenders do the same job in turn, round after round: a machine whose speed drifts does so
 * for all of them, and the ratio of one round is what can be trusted. A round before does not count. Every other
 * round is in reverse: one that follows a litterer pays for the litter.
 */
export async function compare(
  contenders: readonly Contender[],
  { count, rounds = 7 }: { readonly count: number; readonly rounds?: number },
): Promise<Figure[]> {
  const rates: number[][] = contenders.map(() => []);
  const order = [...contenders.entries()];
  for (let round = 0; round <= rounds; round++) {
    order.reverse();
    for (const [i, { prepare, run }] of order) {
      await prepare?.(count);
      const start = performance.now();
      await run(count);
      if (round > 0) rates[i]!.push(count / (performance.now() - start) * 1000);
    }
  }
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

/** The middle of some numbers. */
export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** The number that a share `q` of the numbers does not exceed. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

/** Prints figures as a table. */
export function report(title: string, figures: readonly Figure[]): void {
  console.log(`\n${title}`);
  for (const { label, rate, ratio: [middle, least, most] } of figures) {
    const range = `${least.toFixed(2)}–${most.toFixed(2)}`;
    console.log(
      `  ${label.padEnd(44)}${Math.round(rate).toLocaleString("en").padStart(11)} /s` +
        `${middle.toFixed(2).padStart(8)} × (${range})`,
    );
  }
}
