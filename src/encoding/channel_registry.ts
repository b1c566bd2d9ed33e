import { ChannelReferenceError } from "../shared/errors.ts";
import type { Handle } from "../handle/handle.ts";

/** The one way that a directed channel allows. */
export type Direction = "send" | "receive";

/** A class of channels, as its objects are met inside values. */
export interface Kind {
  /** Whether an object is one of the class. */
  is(object: object): boolean;
  /** The handle of one of its objects; it may be made by this. */
  handle(object: object): Handle;
  /** The one way that its channels allow; absent: both. */
  readonly direction?: Direction;
}

const kinds: Kind[] = [];

/** Has the objects of a class known as channels. */
export function addKind(kind: Kind): void {
  kinds.push(kind);
}

function kindOf(object: object): Kind | undefined {
  for (const kind of kinds) if (kind.is(object)) return kind;
}

/** Whether an object is a channel, directed or not. */
export function isChannel(object: object): boolean {
  return kindOf(object) !== undefined;
}

/** The one way that a channel allows; undefined for both. */
export function directionOf(channel: object): Direction | undefined {
  return kindOf(channel)?.direction;
}

/** The handle of a channel; undefined for anything else. */
export function handleOf(object: object): Handle | undefined {
  const kind = kindOf(object);
  if (kind !== undefined) return kind.handle(object);
  if (brand in object) {
    throw new ChannelReferenceError(
      "a channel that another copy of this library has made cannot travel; load the library once",
    );
  }
}

/** Tells channels of any copy of this library. */
export const brand: symbol = Symbol.for("@channelts/channel");

/** What `JSON.stringify` calls of a channel. */
export function toJSON(this: unknown): never {
  throw new ChannelReferenceError(
    `JSON.stringify: ${this} cannot be written; put it into a channel, inside any value, or send its name`,
  );
}
