import { ChannelReferenceError } from "./errors.ts";
import type { Handle } from "./handle.ts";

const handles = new WeakMap<object, Handle>();

/** Names a channel's handle, for when the channel is met inside a value. */
export function setHandle(channel: object, handle: Handle): void {
  handles.set(channel, handle);
}

/** The handle of a channel; undefined for anything else. */
export function handleOf(object: object): Handle | undefined {
  const handle = handles.get(object);
  if (handle === undefined && brand in object) {
    throw new ChannelReferenceError(
      "a channel that another copy of this library has made cannot travel; load the library once",
    );
  }
  return handle;
}

/** Tells channels of any copy of this library. */
export const brand: symbol = Symbol.for("@channelts/channel");
