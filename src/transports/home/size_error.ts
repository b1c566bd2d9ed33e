import { ChannelSizeError } from "../../shared/errors.ts";
import type { HomeSession } from "./session.ts";

/** Returns the error for a message of a number of bytes if the home does not read so many; otherwise undefined. */
export function sizeError(
  action: string,
  name: string,
  bytes: number,
  { address, welcome }: HomeSession,
): ChannelSizeError | undefined {
  const limit = welcome.maxFrame - headerRoom;
  if (bytes <= limit) return undefined;
  return new ChannelSizeError(
    `${action} on channel ${name}: the message has ${bytes} bytes, and ${address} accepts ${limit}; ` +
      "send it in parts",
    { size: bytes, limit },
  );
}

/** The bytes of a frame that are left for its header. */
const headerRoom = 64;
