/** Makes an own property, whatever its name is. */
export function setProperty(object: object, key: string, value: unknown): void {
  if (key === "__proto__") define(object, key, value); // which assignment would take for the prototype
  else (object as Record<string, unknown>)[key] = value;
}

function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
