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
  if (root === part) return "";
  let path: string | undefined;
  try {
    path = search(root, part, new Set());
  } catch {
    // a proxy, whose own error would hide the one that is being reported
  }
  return path === undefined ? "?" : path.startsWith(".") ? path.slice(1) : path;
}

function search(holder: unknown, part: unknown, seen: Set<object>): string | undefined {
  if (typeof holder !== "object" || holder === null || seen.has(holder)) return undefined;
  seen.add(holder);
  for (const [step, value] of partsOf(holder)) {
    if (value === part) return step;
    const rest = search(value, part, seen);
    if (rest !== undefined) return step + rest;
  }
}

function* partsOf(holder: object): Iterable<[step: string, value: unknown]> {
  if (ArrayBuffer.isView(holder)) return;
  if (holder instanceof Map) yield* entriesOf(holder);
  else if (holder instanceof Set) { for (const item of holder) yield [".values()", item]; }
  else yield* propertiesOf(holder);
}

function* entriesOf(map: Map<unknown, unknown>): Iterable<[step: string, value: unknown]> {
  for (const [key, value] of map) {
    yield [".keys()", key];
    yield [`.get(${printed(key)})`, value];
  }
}

function* propertiesOf(holder: object): Iterable<[step: string, value: unknown]> {
  const keys = Object.keys(holder);
  if (holder instanceof Error) keys.push("cause", "errors"); // which are not enumerable
  for (const key of keys) {
    const property = Object.getOwnPropertyDescriptor(holder, key);
    if (property !== undefined && "value" in property) yield [step(holder, key), property.value];
  }
}

function step(holder: object, key: string): string {
  if (Array.isArray(holder) && /^\d+$/.test(key)) return `[${key}]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${printed(key)}]`;
}

function printed(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.slice(0, 40));
  return typeof key === "number" ? String(key) : "?";
}
