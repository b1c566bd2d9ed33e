// How objects that are met inside values are recognized as channels. The classes of channels register here, so that
// nothing below them imports them.

import type { Direction } from "../encoding/reference.ts";
import { ChannelReferenceError } from "../shared/errors.ts";
import type { Carrier } from "./contracts.ts";

/** A class of channels. */
export interface ChannelClass {
  /** Reports whether an object is an instance of the class. */
  is(object: object): boolean;
  /** Returns the handle of an instance. */
  handle(object: object): Carrier;
  /** The direction that the instances allow; absent if they allow both. */
  readonly direction?: Direction;
}

const classes: ChannelClass[] = [];

/** Registers a class, so that its instances are recognized as channels. */
export function registerChannelClass(channelClass: ChannelClass): void {
  classes.push(channelClass);
}

function classOf(object: object): ChannelClass | undefined {
  for (const each of classes) if (each.is(object)) return each;
}

/** Returns the direction that a channel allows; undefined if it allows both. */
export function directionOf(channel: object): Direction | undefined {
  return classOf(channel)?.direction;
}

/**
 * Returns the handle of a channel; undefined for any other object.
 *
 * @throws {ChannelReferenceError} for a channel of another copy of this library
 */
export function carrierOf(object: object): Carrier | undefined {
  const found = classOf(object);
  if (found !== undefined) return found.handle(object);
  if (brand in object) {
    throw new ChannelReferenceError(
      "a channel that another copy of this library has made cannot travel; load the library once",
    );
  }
}

/**
 * Reports whether an argument is a channel.
 *
 * @throws {ChannelReferenceError} for a channel of another copy of this library
 */
export function isChannelValue(value: unknown): value is object {
  return typeof value === "object" && value !== null &&
    (classOf(value) !== undefined || carrierOf(value) !== undefined);
}

/** The key that marks the channels of every copy of this library. */
export const brand: symbol = Symbol.for("@channelts/channel");

/** The method `toJSON` of every channel. @throws {ChannelReferenceError} always */
export function toJSON(this: unknown): never {
  throw new ChannelReferenceError(
    `JSON.stringify: ${this} cannot be written; put it into a channel, inside any value, or send its name`,
  );
}
