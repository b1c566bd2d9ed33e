/**
 * Returns the error of a value that cannot be cloned.
 *
 * @param what the part of the value that is at fault
 * @param path where it is in the value
 */
export function rejection(what: string, path: string, advice = "", cause?: unknown): DOMException {
  const where = path === "" ? "" : ` at ${path}`;
  const error = new DOMException(`${what}${where} cannot be cloned${advice}`, "DataCloneError");
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause });
  return error;
}

/**
 * Returns the path from a value to a part of it, such as `job.callbacks[2]`; "" for the value itself. Only an error
 * needs a path, so the encoders keep no record of keys, and this function searches for it. It calls no getter: the path
 * to a part that only a getter returns is `?`.
 */
export function pathTo(root: unknown, part: unknown): string {
  try {
    return (search(root, part, new Set()) ?? "?").replace(/^\./, "");
  } catch {
    return "?"; // the error of a proxy, which must not hide the one that is reported
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
  if (holder instanceof Error) keys.push("cause", "errors"); // they are not enumerable
  return keys.map((key) => [
    step(Array.isArray(holder) && /^\d+$/.test(key) ? Number(key) : key),
    Object.getOwnPropertyDescriptor(holder, key)?.value,
  ]);
}

/** Returns the step of a path for a key or an index. */
export function step(key: string | number): string {
  const isName = typeof key === "string" && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key);
  return isName ? `.${key}` : `[${printed(key)}]`;
}

function printed(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.slice(0, 40));
  return typeof key === "number" ? String(key) : "?";
}
