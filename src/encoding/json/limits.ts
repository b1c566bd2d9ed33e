/** How deep values may nest, in both directions: `decode` accepts what `encode` accepts. */
export const maxDepth = 1000;

/**
 * Returns how many bytes the arrays of {@linkcode largestGap} may take that the value of a message needs. `encode`
 * makes no message that `decode` refuses for this.
 *
 * @param size the message's size in bytes
 */
export function memoryLimit(size: number): number {
  return 12_582_912 + 50 * size;
}

/**
 * Engines keep the properties of an object that are named 0, 1, 2 … in an array, unless it would have a gap of this
 * many elements: `{"999":0}` takes JavaScriptCore 8 KB.
 */
export const largestGap = 1024;

/** The bytes that an element of such an array takes. */
export const elementBytes = 8;
