/** The error for a value that cannot be cloned: it says what the culprit is and where in the value it was found. */
export function rejection(what: string, path: string, advice = "", cause?: unknown): DOMException {
  const where = path === "" ? "" : ` at ${path}`;
  const error = new DOMException(`${what}${where} cannot be cloned${advice}`, "DataCloneError");
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause });
  return error;
}

/**
 * How to get from a value to a part of it, such as `job.callbacks[2]`; "" if that is the value itself. It is looked
 * for only when an error needs it, so that encoding keeps no record of keys. No getter is called: what is behind one
 * is not found, and written as `?`.
 */
export function pathTo(root: unknown, part: unknown): string {
  try {
    return (search(root, part, new Set()) ?? "?").replace(/^\./, "");
  } catch {
    return "?"; // a proxy, whose own error would hide the one that is being reported
  }
}

function search(value: unknown, part: unknown, seen: Set<unknown>): string | undefined {
  if (value === part) return "";
  if (typeof value !== "object" || value === null || seen.has(value)) return undefined;
  seen.add(value);
  for (const [step, inner] of partsOf(value)) {
    const rest = search(inner, part, seen);
    if (rest !== undefined) return step + rest;
  }
}

type Part = readonly [step: string, value: unknown];

function partsOf(holder: object): Part[] {
  if (ArrayBuffer.isView(holder)) return [];
  if (holder instanceof Set) return [...holder].map((item) => [".values()", item]);
  if (holder instanceof Map) {
    return [...holder].flatMap(([key, value]): Part[] => [
      [".keys()", key],
      [`.get(${printed(key)})`, value],
    ]);
  }
  const keys = Object.keys(holder);
  if (holder instanceof Error) keys.push("cause", "errors"); // which are not enumerable
  return keys.map((key) => [
    step(Array.isArray(holder) && /^\d+$/.test(key) ? Number(key) : key),
    Object.getOwnPropertyDescriptor(holder, key)?.value,
  ]);
}

/** How a part is reached by its key, or by its index. */
export function step(key: string | number): string {
  const isName = typeof key === "string" && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key);
  return isName ? `.${key}` : `[${printed(key)}]`;
}

function printed(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.slice(0, 40));
  return typeof key === "number" ? String(key) : "?";
}
