import { posix } from "node:path";

/** Returns the modules that a module imports statically. */
export function importsOf(path: string, text: string): string[] {
  const specifiers = text.matchAll(/^(?:import|export)\b(?:[\w\s{},*$]*\bfrom)? *"(\.[^"]+)";/gm);
  return [...specifiers].map(([, specifier]) => resolved(path, specifier!));
}

/** Returns the path to which a specifier in a module leads. */
export function resolved(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier);
}

/**
 * Returns the modules that are loaded by `import()`, each with the modules that have been loaded whenever it is, also by
 * those that import it statically.
 *
 * @param scripts the modules: paths and texts
 * @param entries the paths of those that programs import
 */
export function loadedBefore(
  scripts: ReadonlyMap<string, string>,
  entries: readonly string[],
): Map<string, ReadonlySet<string>> {
  /** The modules that load another one later. */
  const loaders = new Map<string, Set<string>>();
  for (const [path, text] of scripts) {
    for (const [, specifier] of text.matchAll(/\bimport\("(\.[^"]+)"\)/g)) {
      const later = resolved(path, specifier!);
      if (entries.includes(later)) continue; // a program may load it first
      loaders.set(later, (loaders.get(later) ?? new Set()).add(path));
    }
  }
  const roots = [...entries, ...loaders.keys()];
  const reached = new Map(roots.map((root) => [root, reachedBy(root, scripts)]));
  const before = new Map<string, ReadonlySet<string>>(
    [...loaders.keys()].map((later) => [later, new Set(scripts.keys())]), // until a loader has fewer
  );
  for (let isSettled = false; !isSettled;) {
    isSettled = true;
    for (const [later, paths] of loaders) {
      const loading = roots.filter((root) =>
        root !== later && [later, ...paths].some((path) => reached.get(root)!.has(path))
      );
      const known = before.get(later)!;
      const left = [...known].filter((module) =>
        loading.every((root) => reached.get(root)!.has(module) || before.get(root)?.has(module))
      );
      if (left.length === known.size) continue;
      before.set(later, new Set(left));
      isSettled = false;
    }
  }
  return before;
}

/** Returns a module and what it imports statically, directly or not. */
function reachedBy(
  path: string,
  scripts: ReadonlyMap<string, string>,
  found: Set<string> = new Set(),
): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const each of importsOf(path, scripts.get(path)!)) reachedBy(each, scripts, found);
  return found;
}
