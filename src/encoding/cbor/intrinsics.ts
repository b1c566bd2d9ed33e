/**
 * Returns the result of a built-in getter for an object. Subclasses and own properties cannot change it. It throws a
 * TypeError for an object that only looks like one of the built-in class.
 */
export function intrinsic<T>(prototype: object, name: PropertyKey, object: object): T {
  return Reflect.get(prototype, name, object);
}

/** Reports whether an object passes a test, which may throw instead of returning false. */
export function isOne(test: (object: object) => boolean, object: object): boolean {
  try {
    return test(object);
  } catch {
    return false;
  }
}
