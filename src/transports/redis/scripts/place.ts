/**
 * What a script must know of the server that runs it: how it tells a holder something, and whether it may take a process for
 * dead that does not subscribe here. docs/internals/redis.md, "Clusters", has the reasons.
 */
export const onServer: string = `
-- Tells a holder something; returns whether its process lives.
local function notify(holder, text, bytes)
  local session, link = string.match(holder, '^([^/]+)/(.+)$')
  if not session then return false end
  return call('PUBLISH', 'channelts:' .. session, link .. ' ' .. text .. '\\n' .. (bytes or '')) > 0
end

local function arrive() end

local function mayTakeForDead() return true end
`;

/** The same for a node of a cluster. */
export function onNode(node: string): string {
  return `
-- Tells a holder something; returns whether its link is attached here. A process that uses a cluster of one node as a server hears
-- what is published to its session.
local function notify(holder, text, bytes)
  local session, link = string.match(holder, '^([^/]+)/(.+)$')
  if not session then return false end
  local message = link .. ' ' .. text .. '\\n' .. (bytes or '')
  if string.sub(session, 1, 1) ~= '${memberMark}' then return call('PUBLISH', 'channelts:' .. session, message) > 0 end
  return call('SPUBLISH', base .. ':' .. session .. ':${node}', message) > 0
end

-- Notes that the channel is on this node, and since when if it was on another one.
local function arrive(isNew)
  if isNew then return call('HSET', meta, 'node', '${node}', 'since', 0) end
  if call('HGET', meta, 'node') ~= '${node}' then
    call('HSET', meta, 'node', '${node}', 'since', clock())
  end
end

-- Whether processes are dead that do not subscribe here: not before they had time to learn that the channel is here.
local function mayTakeForDead()
  arrive()
  return clock() - call('HGET', meta, 'since') > ${moveGrace}
end
`;
}

/** Milliseconds for which a process is not taken for dead after a channel has come to a node. */
export const moveGrace = 20_000;

/** How the id of a session begins that is a member of a cluster. Those of other sessions are hexadecimal. */
export const memberMark = "n";
