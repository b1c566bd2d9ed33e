// The pages that users read, and the code blocks on them.

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../test_files.ts";

/** What a test does with a block of TypeScript. The words after `ts` in its first line say so. */
export type Use =
  /** `ts`: its types are checked, it runs, and its comments are compared with its values. */
  | "run"
  /** `ts check REASON`: its types are checked. It cannot run alone, for the reason. */
  | "check"
  /** `ts tested FILE`: the test file runs it. */
  | "tested"
  /** `ts ignore REASON`: nothing is checked. */
  | "ignore";

/** A block of code on a page. */
export interface Block {
  readonly page: string;
  /** The line of the page on which its code begins. */
  readonly line: number;
  readonly language: string;
  /** What its first line says after the language. */
  readonly info: string;
  readonly text: string;
}

/** A block of TypeScript. */
export interface Snippet extends Block {
  /** Undefined for words that mean nothing. */
  readonly use: Use | undefined;
  /** The reason for `check` and `ignore`, or the file for `tested`. */
  readonly reason: string;
}

/** The pages that users read: README.md, and those in docs/ and in examples/. */
export function userPages(): string[] {
  const pages = globSync(["docs/*.md", "examples/**/*.md"], { cwd: ROOT });
  return ["README.md", ...pages.filter((page) => !page.includes("node_modules")).sort()];
}

/** Returns the text of a page. */
export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** Returns the code blocks of a page. */
export function blocksOf(page: string, text: string = readPage(page)): Block[] {
  return [...text.matchAll(/^( *)```(\w*)([^\n]*)\n(.*?)^\1```$/gms)].map((match) => {
    const [, indent, language, info, code] = match;
    return {
      page,
      line: text.slice(0, match.index).split("\n").length + 1,
      language: language!,
      info: info!.trim(),
      text: code!.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
    };
  });
}

/** Returns the blocks of TypeScript of a page. */
export function snippetsOf(page: string, text?: string): Snippet[] {
  return blocksOf(page, text).filter(({ language }) => language === "ts").map((block) => {
    const [, word, reason] = /^(\S*) *(.*)$/.exec(block.info)!;
    const isComplete = ["check", "tested", "ignore"].includes(word!) && reason !== "";
    const use = block.info === "" ? "run" : isComplete ? word as Use : undefined;
    return { ...block, use, reason: reason! };
  });
}
