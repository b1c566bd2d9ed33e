/** How deep values may nest, in both directions: what `encode` accepts, `decode` accepts. */
export const maxDepth = 1000;

/** An object that is not JSON's own, as it travels. */
export type Members = Readonly<Record<string, unknown>>;
