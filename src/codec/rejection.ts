/** The error for a value that cannot be cloned: it says what the value is and where it was found. */
export function rejection(what: string, path: string, advice = ""): DOMException {
  const where = path === "" ? "" : ` at ${path}`;
  return new DOMException(`${what}${where} cannot be cloned${advice}`, "DataCloneError");
}

/**
 * How to get from the first of these objects to a value in the last, each holding the next, such as
 * `job.callbacks[2]`. It is looked for only when an error needs it, so that encoding keeps no
 * record of keys; a step that cannot be found without calling a getter is written as `?`.
 */
export function pathTo(holders: readonly object[], value: unknown): string {
  let path = "";
  holders.forEach((holder, depth) => {
    path += step(holder, depth + 1 < holders.length ? holders[depth + 1] : value);
  });
  return path.startsWith(".") ? path.slice(1) : path;
}

function step(holder: object, value: unknown): string {
  try {
    return arrayStep(holder, value) ?? mapStep(holder, value) ?? propertyStep(holder, value) ??
      ".?";
  } catch {
    return ".?"; // a proxy, whose own error would hide the one that is being reported
  }
}

function arrayStep(holder: object, value: unknown): string | undefined {
  if (!Array.isArray(holder)) return undefined;
  const index = holder.indexOf(value);
  return index < 0 ? undefined : `[${index}]`;
}

function mapStep(holder: object, value: unknown): string | undefined {
  if (!(holder instanceof Map)) return undefined;
  for (const [key, item] of holder) {
    if (key === value) return ".keys()";
    if (item === value) return `.get(${printed(key)})`;
  }
}

function propertyStep(holder: object, value: unknown): string | undefined {
  for (const key of Object.keys(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, key);
    if (property === undefined || !("value" in property) || property.value !== value) continue;
    return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${printed(key)}]`;
  }
}

function printed(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.slice(0, 40));
  return typeof key === "number" ? String(key) : "?";
}
