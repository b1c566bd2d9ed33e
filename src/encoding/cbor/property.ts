/** Creates an own property of any name. */
export function setProperty(object: object, key: string, value: unknown): void {
  if (key === "__proto__") define(object, key, value); // assignment would set the prototype
  else (object as Record<string, unknown>)[key] = value;
}

/** Reports whether a decoded value comes from a map with text keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
}

function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
