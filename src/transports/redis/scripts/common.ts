/**
 * What all scripts begin with. `me` is the holder that calls: `SESSION/LINK`. docs/internals/redis.md describes the keys.
 *
 * A message that waits is in `ready`, and one that expires also in `ends`. One on loan is in `loans`. One that is
 * delayed is in `delayed`. All are in `bodies`.
 *
 * @param place `onServer`, or what `onNode` returns
 */
export const common = (place: string): string => `
local base, me, epoch = KEYS[1], ARGV[1], ARGV[2]
local meta, ready, bodies, loans = base .. ':meta', base .. ':ready', base .. ':bodies', base .. ':loans'
local tries, terms, ends, delayed = base .. ':tries', base .. ':terms', base .. ':ends', base .. ':delayed'
local takers, askers, links, putters = base .. ':takers', base .. ':askers', base .. ':links', base .. ':putters'
local keys = {meta, ready, bodies, loans, tries, terms, ends, delayed, takers, askers, links, putters}
local call = redis.call
local found = call('HMGET', meta, 'epoch', 'capacity', 'closed', 'lease', 'timed', 'seq')
local exists, capacity, isClosed, lease, isTimed = found[1], tonumber(found[2] or nil), found[3], tonumber(found[4] or nil), found[5]
local now

-- The server's time in milliseconds.
local function clock()
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

${place}
-- Returns who has a loan: "+SESSION/LINK CLAIM", or "-" where the attempts of the claim are not counted.
local function holderOf(loan)
  return string.match(loan, '^.(%S+)')
end

local alive = {}
local function isAlive(holder)
  local session = string.match(holder, '^[^/]+')
  if alive[session] == nil then
    alive[session] = call('PUBSUB', 'NUMSUB', 'channelts:' .. session)[2] > 0
  end
  return alive[session]
end

-- The milliseconds for which the keys of a leased channel last while it is used.
local spare = 600000

-- Keeps a leased channel; each script that may create a key ends with it.
local function touch()
  if not lease then return end
  for _, key in ipairs(keys) do call('PEXPIRE', key, lease + spare) end
end

-- Returns the priority and the end of a message.
local function termsOf(seq)
  local text = isTimed and call('HGET', terms, seq)
  if not text then return 0, nil end
  local priority, over = string.match(text, '^(%S+) (%S*)$')
  return tonumber(priority), tonumber(over)
end

local function drop(seq)
  call('HDEL', bodies, seq)
  call('HDEL', tries, seq)
  if isTimed then call('HDEL', terms, seq) end
end

-- Adds entries to takers or askers, for the holder that calls: at the end, or at the head.
local function join(queue, entries, atHead)
  local at = call('ZRANGE', queue, atHead and 0 or -1, atHead and 0 or -1, 'WITHSCORES')[2] or 0
  local args = {}
  for i, entry in ipairs(entries) do
    args[2 * i - 1], args[2 * i] = atHead and at - i or at + i, me .. ' ' .. entry
  end
  call('ZADD', queue, unpack(args))
end

-- Gives a message to the first living taker; returns whether there is one.
local function serve(seq)
  while true do
    local taker = call('ZPOPMIN', takers)[1]
    if not taker then return false end
    local holder, claim, mark = string.match(taker, '^(%S+) (%S+) (.)')
    local tried = call('HGET', tries, seq) or '-'
    if bell(holder, 'lend ' .. claim .. ' ' .. seq .. ' ' .. tried, call('HGET', bodies, seq)) then
      call('HSET', loans, seq, mark .. holder .. ' ' .. claim)
      return true
    end
  end
end

-- Gives a message to a taker, or lets it wait at its place.
local function enqueue(seq)
  local priority, over = termsOf(seq)
  if over and over <= clock() then return drop(seq) end
  if serve(seq) then return end
  call('ZADD', ready, -priority, seq)
  if over then call('ZADD', ends, over, seq) end
end

-- A message leaves those that wait.
local function popped(seq)
  if isTimed then call('ZREM', ends, seq) end
end

-- How many more messages the channel takes; takers are counted at capacity 0.
local function room()
  if isClosed or not capacity then return math.huge end
  if capacity == 0 then return call('ZCARD', takers) end
  return capacity - call('HLEN', bodies)
end

-- Whether an asker may put: at capacity 0 there must be a taker of another operation. An operation has few takers.
local function mayPut(holder, group)
  if room() <= 0 then return false end
  if isClosed or capacity ~= 0 or group == '' then return true end
  local at = 0
  while true do
    local taker = call('ZRANGE', takers, at, at)[1]
    if not taker then return false end
    local other, theirs = string.match(taker, '^(%S+) %S+ .(.*)$')
    if other ~= holder or theirs ~= group then return true end
    at = at + 1
  end
end

-- Tells askers that there is room, in their order.
local function ring()
  if not capacity or call('EXISTS', askers) == 0 then return end
  local left = room()
  local at = 0
  while left > 0 do
    local asker = call('ZRANGE', askers, at, at)[1]
    if not asker then return end
    local holder, ask, group = string.match(asker, '^(%S+) (%S+) (.*)$')
    if mayPut(holder, group) then
      call('ZREM', askers, asker)
      if bell(holder, 'room ' .. ask) then left = left - 1 end
    else
      at = at + 1
    end
  end
end

-- The channel is closed, and nothing is left: ends the waiting of all.
local function endIfOver()
  if not isClosed or call('EXISTS', bodies) == 1 then return end
  call('DEL', takers)
  for _, holder in ipairs(call('HKEYS', links)) do bell(holder, 'over') end
end

local function left()
  ring()
  endIfOver()
end

-- Moves what is due, and drops what has expired.
local function advance()
  if not isTimed then return end
  local isLess = false
  while true do
    local due = call('ZRANGEBYSCORE', delayed, '-inf', clock(), 'LIMIT', 0, 100)
    if #due == 0 then break end
    for _, old in ipairs(due) do
      call('ZREM', delayed, old)
      local seq = string.format('%016.0f', call('HINCRBY', meta, 'seq', 1))
      call('HSET', bodies, seq, call('HGET', bodies, old))
      call('HSET', terms, seq, call('HGET', terms, old))
      drop(old)
      enqueue(seq)
      if call('HEXISTS', bodies, seq) == 0 then isLess = true end
    end
  end
  while true do
    local over = call('ZRANGEBYSCORE', ends, '-inf', clock(), 'LIMIT', 0, 100)
    if #over == 0 then break end
    for _, seq in ipairs(over) do
      call('ZREM', ends, seq)
      if call('ZREM', ready, seq) == 1 then drop(seq) isLess = true end
    end
  end
  if isLess then left() end
end

-- Returns the milliseconds until something is due or expires; -1: nothing is.
local function nextDue()
  if not isTimed then return -1 end
  local first = call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  local over = call('ZRANGE', ends, 0, 0, 'WITHSCORES')[2]
  if not first and not over then return -1 end
  local time = math.min(tonumber(first or math.huge), tonumber(over or math.huge))
  return math.max(time - clock(), 0)
end

-- Gives back what dead processes hold, counted as an attempt where the claimant wanted it; then tells who waits.
local function reap()
  local dead = {}
  local any = false
  for _, holder in ipairs(call('HKEYS', links)) do
    if holder ~= me and not isAlive(holder) then
      dead[holder] = true
      any = true
    end
  end
  if not any or not mayBury() then return end
  for holder in pairs(dead) do call('HDEL', links, holder) end
  local held = call('HGETALL', loans)
  local back = {}
  for i = 1, #held, 2 do
    if dead[holderOf(held[i + 1])] then
      local seq = held[i]
      call('HDEL', loans, seq)
      if string.sub(held[i + 1], 1, 1) == '+' then call('HINCRBY', tries, seq, 1) else call('HSETNX', tries, seq, 0) end
      back[#back + 1] = seq
    end
  end
  for _, queue in ipairs({takers, askers}) do
    for _, entry in ipairs(call('ZRANGE', queue, 0, -1)) do
      if dead[string.match(entry, '^%S+')] then call('ZREM', queue, entry) end
    end
  end
  local old = call('HGETALL', putters)
  for i = 1, #old, 2 do
    if tonumber(string.match(old[i + 1], ' (.+)$')) < clock() - spare then call('HDEL', putters, old[i]) end
  end
  table.sort(back)
  for _, seq in ipairs(back) do enqueue(seq) end
  left()
end

-- Removes what a holder has asked for.
local function forget(holder)
  for _, queue in ipairs({takers, askers}) do
    for _, entry in ipairs(call('ZRANGE', queue, 0, -1)) do
      if string.match(entry, '^%S+') == holder then call('ZREM', queue, entry) end
    end
  end
end

-- Gives back what a holder has and has not shown to anybody: all, or what some of its claims were lent.
local function giveBackAll(holder, claims)
  local held = call('HGETALL', loans)
  local back = {}
  for i = 1, #held, 2 do
    local loan = held[i + 1]
    if holderOf(loan) == holder and (not claims or claims[string.match(loan, ' (.+)$')]) then
      call('HDEL', loans, held[i])
      back[#back + 1] = held[i]
    end
  end
  table.sort(back)
  for _, seq in ipairs(back) do enqueue(seq) end
end
`;

/**
 * How a script begins that is for an attached link: it fails if the channel is gone, or another one has its name. A link that has
 * made a new name does not know the epoch before its attachment is answered, and writes `*`.
 */
export const attached: string = `
if not exists or (epoch ~= '*' and exists ~= epoch) then return redis.error_reply('GONE it is another channel') end

local function sessionOf(holder)
  return string.match(holder, '^[^/]+')
end

-- Whether the first claim is of this process, and another process has a message, which comes to it if that one dies.
local function isNext()
  local first = call('ZRANGE', takers, 0, 0)[1]
  if not first or sessionOf(first) ~= sessionOf(me) then return false end
  local count = call('HLEN', loans)
  if count == 0 or count > 100 then return count > 0 end
  for _, loan in ipairs(call('HVALS', loans)) do
    if sessionOf(holderOf(loan)) ~= sessionOf(me) then return true end
  end
  return false
end
`;
