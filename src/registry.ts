import { ChannelReferenceError } from "./errors.ts";
import type { Handle } from "./handle.ts";

/** The one way that a directed channel allows. */
export type Direction = "send" | "receive";

const handles = new WeakMap<object, Handle>();
const directions = new WeakMap<object, Direction>();

/** Names a channel's handle, for when the channel is met inside a value. */
export function setHandle(channel: object, handle: Handle, direction?: Direction): void {
  handles.set(channel, handle);
  if (direction !== undefined) directions.set(channel, direction);
}

/** The one way that a channel allows; undefined for both. */
export function directionOf(channel: object): Direction | undefined {
  return directions.get(channel);
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
