import { setTimeout as pause } from "node:timers/promises";
import { Channel, type ChannelOptions } from "../../mod.ts";
import { until, within } from "../conformance/fixture.ts";
import { Actors, type Meeting, type Receipt } from "./actors.ts";
import { type Mishaps, random } from "./mishaps.ts";

/** The result of a soak test. */
export interface SoakResult {
  readonly seed: number;
  /**
   * The mishaps, with their duration and the time after their end until every producer had a put resolve, in
   * milliseconds.
   */
  readonly mishaps: { readonly title: string; readonly took: number; readonly recovery: number }[];
  readonly resolved: number;
  /** The reasons of rejected puts. */
  readonly rejected: string[];
  /** Numbers whose put had resolved but that were never delivered. */
  readonly lost: number[];
  /** How many numbers were delivered more than once. */
  readonly duplicates: number;
  /** How many of their second and later deliveries by `receive` were marked as redelivered. */
  readonly marked: number;
  /** Numbers that were delivered unmarked more than once, or unmarked a second after another delivery. */
  readonly unmarked: number[];
  /** Numbers that one process got twice. */
  readonly withinProcess: number[];
  /** Processes that failed or reported an error. */
  readonly errors: string[];
}

/**
 * Runs three producers and three consumers while one mishap follows another. The seed selects the mishaps.
 *
 * @param count the number of mishaps
 * @param options the options of the channel
 */
export async function soak<S extends Meeting>(
  server: S,
  mishaps: Mishaps<S>,
  seed: number,
  count: number,
  log: (line: string) => void = () => {},
  options: ChannelOptions = {},
): Promise<SoakResult> {
  const name = `soak ${seed}`;
  const next = random(seed);
  await using actors = new Actors(server, name, options);
  for (const how of ["get", "receive", "receive"] as const) await actors.addConsumer(how);
  for (let i = 0; i < 3; i++) await actors.addProducer();
  await progress(actors);

  const happened: { title: string; took: number; recovery: number }[] = [];
  let titles: string[] = [];
  while (happened.length < count) {
    if (titles.length === 0) titles = shuffled(Object.keys(mishaps), next);
    const title = titles.pop()!;
    await pause(300 + next() * 700);
    const start = performance.now();
    await mishaps[title]!({ server, actors, random: next });
    const took = Math.round(performance.now() - start);
    const recovery = await progress(actors);
    happened.push({ title, took, recovery });
    log(`${happened.length}. ${title}: ${took} ms, and all continued after ${recovery} ms more`);
  }

  await within(actors.stopProducers(), 20_000);
  await until(() => actors.missing().length === 0, 20_000, 50).catch(() => {}); // reported by `lost`
  // A consumer that has not reconnected yet would miss the closeAll.
  const { length } = actors.consumers;
  await until(async () => await server.listeners(name) === length, 20_000, 50);
  const channel = new Channel({ name, connection: server.uri });
  const left = await channel.depth();
  await channel.closeAll();
  await within(actors.consumersEnd());
  await new Channel({ name, connection: server.uri }).delete();
  if (left > 0) actors.errors.push(`${left} values were left in the queue`);
  return result(seed, happened, actors);
}

/** Waits until every producer has had a put resolve and numbers arrive. Returns the milliseconds. */
async function progress(actors: Actors): Promise<number> {
  const start = performance.now();
  const counts = actors.producers.map(({ title }) => actors.resolved.get(title)!)
    .map((numbers) => [numbers, numbers.size] as const);
  const { size } = actors.received;
  await until(
    () => actors.received.size > size && counts.every(([numbers, before]) => numbers.size > before),
    20_000,
    10,
  );
  return Math.round(performance.now() - start);
}

function result(seed: number, happened: SoakResult["mishaps"], actors: Actors): SoakResult {
  const twice = [...actors.received].filter(([, receipts]) => receipts.length > 1);
  const isUnmarked = ({ isRedelivered }: Receipt) => isRedelivered === false;
  const late = (receipts: Receipt[]) => receipts.filter(({ at }) => at > receipts[0]!.at + 1000);
  return {
    seed,
    mishaps: happened,
    resolved: [...actors.resolved.values()].reduce((sum, { size }) => sum + size, 0),
    rejected: actors.rejected,
    lost: actors.missing(),
    duplicates: twice.length,
    marked: twice.reduce(
      (sum, [, receipts]) =>
        sum + receipts.filter(({ isRedelivered }) => isRedelivered === true).length,
      0,
    ),
    unmarked: twice.filter(([, receipts]) =>
      receipts.filter(isUnmarked).length > 1 || late(receipts).some(isUnmarked)
    ).map(([n]) => n),
    withinProcess: twice.filter(([, receipts]) =>
      new Set(receipts.map(({ consumer }) => consumer)).size < receipts.length
    ).map(([n]) => n),
    errors: actors.errors,
  };
}

function shuffled<T>(items: T[], next: () => number): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}
