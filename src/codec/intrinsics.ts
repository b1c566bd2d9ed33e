/**
 * The getters and methods of built-in classes by themselves, for objects whose class, subclass or own properties may
 * say something else. They throw a TypeError for objects that only look like one of their class.
 */
export function getterOf<T>(prototype: object, name: PropertyKey): (object: object) => T {
  const getter = Object.getOwnPropertyDescriptor(prototype, name)?.get;
  return (object) => getter?.call(object) as T;
}

/** The same for a method without arguments. */
export function methodOf<T>(prototype: object, name: PropertyKey): (object: object) => T {
  const method = Object.getOwnPropertyDescriptor(prototype, name)?.value as () => T;
  return (object) => method.call(object);
}

/** Whether a test that throws for what is not, as these do, says that an object is one. */
export function isOne(test: (object: object) => boolean, object: object): boolean {
  try {
    return test(object);
  } catch {
    return false;
  }
}
