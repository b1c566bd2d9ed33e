import { attached, common } from "./common.ts";
import { accept, release, take, untake } from "./gets.ts";
import {
  announce,
  attach,
  departures,
  depth,
  detach,
  drain,
  remove,
  stats,
  tick,
} from "./lifetime.ts";
import { ask, put, unask } from "./puts.ts";

/** The name of a script. */
export type ScriptName =
  | "attach"
  | "detach"
  | "tick"
  | "departures"
  | "drain"
  | "remove"
  | "depth"
  | "stats"
  | "announce"
  | "put"
  | "ask"
  | "unask"
  | "take"
  | "untake"
  | "accept"
  | "release";

/**
 * The texts of the scripts. All but `put` also run while the server has no memory left: they free some, or need little, and a
 * consumer must be able to attach to a full server.
 */
export const scripts: readonly (readonly [ScriptName, string])[] = [
  ["attach", freely(common + attach)],
  ["detach", freely(common + detach)],
  ["departures", `#!lua flags=no-writes,allow-oom\n${departures}`],
  ["put", `#!lua\n${common}${attached}${put}`],
  ["tick", forLinks(tick)],
  ["drain", forLinks(drain)],
  ["remove", forLinks(remove)],
  ["depth", forLinks(depth)],
  ["stats", forLinks(stats)],
  ["announce", forLinks(announce)],
  ["ask", forLinks(ask)],
  ["unask", forLinks(unask)],
  ["take", forLinks(take)],
  ["untake", forLinks(untake)],
  ["accept", forLinks(accept)],
  ["release", forLinks(release)],
];

function forLinks(text: string): string {
  return freely(common + attached + text);
}

function freely(text: string): string {
  return `#!lua flags=allow-oom\n${text}`;
}
