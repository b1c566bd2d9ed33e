import type { Buffer } from "node:buffer";
import { ChannelConfigError } from "../../shared/errors.ts";

/** A connection of the npm package `@redis/client`: the part of it that the library uses. */
export interface RedisClient {
  readonly isOpen: boolean;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: "connect" | "end", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  ref(): void;
  unref(): void;
  // deno-lint-ignore no-explicit-any -- each command has its own reply
  sendCommand<T = any>(args: readonly (string | Buffer)[], options?: object): Promise<T>;
  subscribe(channel: string, listener: (message: Buffer) => void, asBytes: true): Promise<void>;
}

/**
 * The part of the npm package `@redis/client` that the library uses. Its own types are not named: they need those of Node,
 * which not every program has.
 */
export interface RedisPackage {
  readonly RedisClient: {
    factory(config: { readonly RESP: 3 }): (options: object) => RedisClient;
  };
  readonly RESP_TYPES: { readonly BLOB_STRING: number };
}

/** Loads the npm package `@redis/client`, which is optional. @throws {ChannelConfigError} if it is missing */
export async function loadRedisPackage(): Promise<RedisPackage> {
  try {
    return await import("@redis/client") as unknown as RedisPackage;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ChannelConfigError(
      `the package @redis/client cannot be loaded (${text}); install it to use redis: and rediss: connections`,
      { cause: error },
    );
  }
}

let factory: ((options: object) => RedisClient) | undefined;

/**
 * Returns a client. The package's `createClient` defines a class with hundreds of methods for each configuration that
 * differs from the last one, which takes tens of milliseconds; here there is one class for all.
 */
export function newRedisClient({ RedisClient }: RedisPackage, options: object): RedisClient {
  factory ??= RedisClient.factory({ RESP: 3 });
  return factory(options);
}
