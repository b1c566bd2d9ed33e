import type { Output, Style } from "../output.ts";
import { printable } from "../printable.ts";
import type { Figures } from "./watched_channel.ts";

/** Makes a text bold, red …, if the output has colours. */
export type Paint = Output["style"];

interface Column {
  readonly title: string;
  /** Returns the cell; undefined if the figure is not known. */
  text(figures: Figures): string | undefined;
  /** How a cell is to be noticed. */
  style?(figures: Figures): Style | undefined;
  /** Whether the column is shown although no figure is known. */
  readonly isFixed?: boolean;
}

const columns: readonly Column[] = [
  {
    title: "DEPTH",
    text: ({ depth }) => depth?.toString(),
    // Nobody seems to take the values. On a file, a consumer that is at work does not count as one, but has a loan.
    style: ({ depth = 0, consumers, loans = 0 }) =>
      depth > 0 && consumers === 0 && loans === 0 ? "yellow" : undefined,
    isFixed: true,
  },
  {
    title: "CHANGE/S",
    text: ({ change }) =>
      change === undefined ? undefined : `${change > 0 ? "+" : ""}${change.toFixed(1)}`,
  },
  { title: "LOANS", text: ({ loans }) => loans?.toString() },
  { title: "CONSUMERS", text: ({ consumers }) => consumers?.toString() },
  { title: "DELAYED", text: ({ delayed }) => delayed?.toString() },
  { title: "CAPACITY", text: ({ capacity }) => capacity?.toString() },
  {
    title: "DEAD",
    text: ({ deadLetters }) => deadLetters?.toString(),
    style: ({ deadLetters = 0 }) => deadLetters > 0 ? "red" : undefined,
    isFixed: true,
  },
];

/**
 * Returns the lines of a table, the titles first. The last column has the name, so that its width does not matter.
 *
 * @param isLive whether the columns of rates are there from the beginning, so that the table does not move
 */
export function tableOf(all: readonly Figures[], paint: Paint, isLive = false): string[] {
  const shown = columns.filter(({ title, text, isFixed }) =>
    isFixed || isLive && title === "CHANGE/S" || all.some((each) => text(each) !== undefined)
  );
  const cells = all.map((each) => shown.map(({ text }) => text(each) ?? "-"));
  const widths = shown.map(({ title }, i) =>
    Math.max(title.length, ...cells.map((row) => row[i]!.length))
  );
  const titles = [...shown.map(({ title }, i) => title.padStart(widths[i]!)), "CHANNEL"];
  const rows = all.map((each, row) => {
    const line = shown.map(({ style }, i) => {
      const cell = cells[row]![i]!.padStart(widths[i]!);
      const emphasis = style?.(each);
      return emphasis === undefined ? cell : paint(emphasis, cell);
    });
    return [...line, nameOf(each, paint)].join("  ");
  });
  return [paint("bold", titles.join("  ")), ...rows];
}

function nameOf({ name, closed, trouble }: Figures, paint: Paint): string {
  const text = printable(name);
  if (trouble !== undefined) {
    return `${text}  ${paint("red", printable(withoutName(trouble, name)))}`;
  }
  return closed ? `${text}  ${paint("yellow", "closed")}` : text;
}

/** Returns an error's text without the operation, the channel and the address, which the table has. */
function withoutName(trouble: string, name: string): string {
  const beginning = `stats: channel ${name} `;
  if (!trouble.startsWith(beginning)) return trouble;
  return trouble.slice(beginning.length).replace(/^on \S+ /, "");
}
