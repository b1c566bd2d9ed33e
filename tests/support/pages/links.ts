// The links and headings of pages, and the files that are published.

import { globSync, readFileSync } from "node:fs";
import { join, matchesGlob } from "node:path";
import { ROOT } from "../test_files.ts";
import { readPage, userPages } from "./pages.ts";

/** A link on a page. */
export interface Link {
  /** The line of the page. */
  readonly line: number;
  readonly target: string;
}

/** All pages: those for users, and those for developers of the project. */
export function allPages(): string[] {
  const others = globSync("docs/internals/*.md", { cwd: ROOT }).sort();
  return [...userPages(), "CHANGELOG.md", "ARCHITECTURE.md", "tests/README.md", ...others];
}

/** Returns a page without its blocks of code and quoted code, on the same lines. */
function prose(text: string): string {
  return text
    .replaceAll(/^( *)```.*?^\1```$/gms, (block) => block.replaceAll(/[^\n]/g, ""))
    .replaceAll(/`[^`\n]+`/g, "``");
}

/** Returns the links of a page: `[text](target)`, `[text]: target` and `<https://…>`. */
export function linksOf(text: string): Link[] {
  const clean = prose(text);
  const found = clean.matchAll(
    /\]\(\s*<?([^)>\s]*)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)|<(\w+:[^>\s]+)>|(https?:\/\/[^\s)>]+)/gm,
  );
  return [...found].map((match) => ({
    line: clean.slice(0, match.index).split("\n").length,
    target: (match[1] ?? match[2] ?? match[3] ?? match[4])!.replace(/[.,;:]$/, ""),
  }));
}

/** Returns the anchors of a page's headings, as GitHub generates them. */
export function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>();
  const blank = text.replaceAll(/^( *)```.*?^\1```$/gms, "");
  return [...blank.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => {
    const words = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const anchor = words.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-");
    const before = seen.get(anchor) ?? 0;
    seen.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
}

/** Reports whether a file of the project is published, as deno.json says. */
export function isPublished(file: string): boolean {
  const { publish } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  const covers = (pattern: string) =>
    file === pattern || file.startsWith(pattern.replace(/\/?$/, "/")) || matchesGlob(file, pattern);
  const negated: string[] = publish.include.filter((pattern: string) => pattern.startsWith("!"));
  const excluded = [...publish.exclude ?? [], ...negated.map((pattern) => pattern.slice(1))];
  return publish.include.some(covers) && !excluded.some(covers);
}

/** Returns what is wrong with a link of a page; undefined if nothing is. */
export function faultOf(page: string, target: string): string | undefined {
  if (/^\w+:/.test(target)) return externalFault(target);
  const [path, anchor] = target.split("#") as [string, string?];
  const file = path === "" ? page : join(page, "..", decodeURI(path));
  if (file.startsWith("..") || path.startsWith("/")) return "it leaves the project";
  let text: string | undefined;
  try {
    text = readPage(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EISDIR") return "there is no such file";
  }
  if (isPublished(page) && !isPublished(file)) {
    return "the page is published, and the file is not";
  }
  if (anchor === undefined) return undefined;
  const isFound = text !== undefined && anchorsOf(text).includes(anchor);
  return isFound ? undefined : "there is no such heading";
}

/** External links are not visited. */
function externalFault(target: string): string | undefined {
  const url = URL.parse(target);
  if (url === null) return "it is not a URL";
  if (url.protocol !== "https:") return "it does not begin with https:";
  const { hostname, port, username } = url;
  const isPublic = /\.[a-z]{2,}$/.test(hostname) && port === "" && username === "";
  return isPublic ? undefined : "its host is not public";
}
