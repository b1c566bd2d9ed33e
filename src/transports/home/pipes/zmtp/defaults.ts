/** Milliseconds between the pings of an end. The other end counts as gone after two to three times as long. */
export const defaultHeartbeat = 10_000;

/** The size in bytes of the largest frame that a peer reads. A home has its own limit. */
export const defaultMaxFrame: number = 2 ** 30;
