import { ChannelConfigError } from "../../shared/errors.ts";

/** Loads the npm package `@redis/client`, which is optional. @throws {ChannelConfigError} if it is missing */
export async function loadRedisPackage(): Promise<typeof import("@redis/client")> {
  try {
    return await import("@redis/client");
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ChannelConfigError(
      `the package @redis/client cannot be loaded (${text}); install it to use redis: and rediss: connections`,
      { cause: error },
    );
  }
}
