/**
 * Loads the npm package `ws`. It is an optional dependency: rejects if it is not installed.
 *
 * @typeParam Package the part of the package that the caller uses; it has no types of its own
 */
export async function importWs<Package>(): Promise<Package> {
  // @ts-ignore: some compilers refuse a package without types
  return await import("ws") as unknown as Package;
}
