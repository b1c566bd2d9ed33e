import { createHash } from "node:crypto";
import { common } from "./common.ts";
import { compose } from "./compose.ts";
import { deaths } from "./deaths.ts";
import { accept, plainAccept, plainTake, release, take, untake } from "./gets.ts";
import {
  announce,
  attach,
  departures,
  depth,
  detach,
  drain,
  plainAttach,
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

/** A script, with the SHA-1 of its text, by which a server knows it. */
export interface Script {
  readonly name: ScriptName;
  readonly text: string;
  readonly sha: string;
}

type Texts = readonly (readonly [ScriptName, string])[];

/** The texts are composed once, since that takes 12 ms: those for a server of its own, and those for a node called `anyNode`. */
let ofServer: Texts | undefined;
let ofNode: Texts | undefined;
const anyNode = "ANY-NODE";

/**
 * Returns the scripts.
 *
 * @param node what the cluster calls the node that runs them; absent for a server of its own
 */
export function scriptsFor(node?: string): readonly Script[] {
  const texts = node === undefined
    ? ofServer ??= compositions(onServer)
    : ofNode ??= compositions(onNode(anyNode));
  return texts.map(([name, composed]) => {
    const text = node === undefined ? composed : composed.replaceAll(anyNode, () => node);
    return { name, text, sha: createHash("sha1").update(text).digest("hex") };
  });
}

/**
 * Composes the scripts. All but `put` also run while the server has no memory left: they free some, or need little,
 * and a consumer must be able to attach to a full server.
 *
 * @param place `onServer`, or what `onNode` returns
 */
function compositions(place: string): Texts {
  const start = common(place) + deaths;
  const forLinks = (text: string, plain?: string) => freely(compose(start + attached, text, plain));
  return [
    ["attach", freely(compose(start, attach, plainAttach))],
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

/**
 * How a script begins that is for an attached link: it fails if the channel is gone, or another one has its name. A link that has
 * made a new name does not know the epoch before its attachment is answered, and writes `*`.
 */
const attached: string = `
if not exists or (epoch ~= '*' and exists ~= epoch) then return redis.error_reply('GONE it is another channel') end

local function sessionOf(holder)
  return string.match(holder, '^[^/]*')
end

-- Whether the first claim is of this process, and another process has a message, which comes to it if that one dies.
local function isNext()
  local count = call('ZCARD', loans)
  if count == 0 then return false end
  local first = call('ZRANGE', takers, 0, 0)[1]
  if not first or sessionOf(first) ~= sessionOf(me) then return false end
  if count > 100 then return true end
  for _, loan in ipairs(call('ZRANGE', loans, 0, -1)) do
    if sessionOf(holderOf(loan)) ~= sessionOf(me) then return true end
  end
  return false
end
`;
