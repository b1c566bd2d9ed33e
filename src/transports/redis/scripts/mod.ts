import { attached, common } from "./common.ts";
import { compose } from "./compose.ts";
import { accept, plainAccept, plainTake, release, take, untake } from "./gets.ts";
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
import { onNode, onServer } from "./place.ts";
import { ask, plainPut, put, unask } from "./puts.ts";

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
 * Returns the texts of the scripts. All but `put` also run while the server has no memory left: they free some, or need little,
 * and a consumer must be able to attach to a full server.
 *
 * @param node what the cluster calls the node that runs them; absent for a server of its own
 */
export function scriptsFor(node?: string): readonly (readonly [ScriptName, string])[] {
  const start = common(node === undefined ? onServer : onNode(node));
  const forLinks = (text: string, plain?: string) => freely(compose(start + attached, text, plain));
  return [
    ["attach", freely(compose(start, attach))],
    ["detach", freely(compose(start, detach))],
    ["departures", `#!lua flags=no-writes,allow-oom\n${departures}`],
    ["put", `#!lua\n${compose(start + attached, put, plainPut)}`],
    ["tick", forLinks(tick)],
    ["drain", forLinks(drain)],
    ["remove", forLinks(remove)],
    ["depth", forLinks(depth)],
    ["stats", forLinks(stats)],
    ["announce", forLinks(announce)],
    ["ask", forLinks(ask)],
    ["unask", forLinks(unask)],
    ["take", forLinks(take, plainTake)],
    ["untake", forLinks(untake)],
    ["accept", forLinks(accept, plainAccept)],
    ["release", forLinks(release)],
  ];
}

function freely(text: string): string {
  return `#!lua flags=allow-oom\n${text}`;
}
