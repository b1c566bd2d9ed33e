/**
 * What a getter of a built-in class says of an object, whatever its class, its subclass or its own properties say. It
 * throws a TypeError for an object that only looks like one of the class.
 */
export function intrinsic<T>(prototype: object, name: PropertyKey, object: object): T {
  return Reflect.get(prototype, name, object);
}

/** Whether a test that throws for what is not, as these do, says that an object is one. */
export function isOne(test: (object: object) => boolean, object: object): boolean {
  try {
    return test(object);
  } catch {
    return false;
  }
}
