import { ChannelConfigError } from "../../../../shared/errors.ts";

/** Loads a module that needs the package libsodium-wrappers, which is optional. @throws {ChannelConfigError} if it is missing */
export async function withSodium<Module>(load: Promise<Module>): Promise<Module> {
  try {
    return await load;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new ChannelConfigError(
      `the package libsodium-wrappers cannot be loaded (${text}); install it to use the key or the secret of a home`,
      { cause },
    );
  }
}
