/**
 * Returns all objects that are reachable from a value through own properties (including hidden ones), Maps and Sets,
 * and the value itself. The buffer of a view is not included.
 */
export function objectsIn(value: unknown): Set<object> {
  const found = new Set<object>();
  const add = (part: unknown) => {
    if (typeof part === "object" && part !== null) found.add(part);
  };
  add(value);
  for (const object of found) {
    if (ArrayBuffer.isView(object)) continue;
    if (object instanceof Map) object.forEach((item, key) => [key, item].forEach(add));
    if (object instanceof Set) object.forEach(add);
    for (const key of Object.getOwnPropertyNames(object)) {
      add(Object.getOwnPropertyDescriptor(object, key)!.value);
    }
  }
  return found;
}
