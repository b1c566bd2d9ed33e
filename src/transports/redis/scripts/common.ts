/**
 * What all scripts begin with. `me` is the holder that calls: `SESSION/LINK`. docs/internals/redis.md describes the keys.
 *
 * A message that waits is in `ready`, and one that expires also in `ends`. One on loan is in `loans`. One that is
 * delayed is in `delayed`. All are in `bodies`.
 *
 * Whoever has the keys may have written anything: an entry that is not of these scripts is skipped or removed.
 *
 * @param place `onServer`, or what `onNode` returns
 */
export const common = (place: string): string => `
local base, me, epoch = KEYS[1], ARGV[1], ARGV[2]
local call = redis.call
local found = call('HMGET', meta, 'epoch', 'capacity', 'closed', 'lease', 'timed', 'tried')
local exists, capacity, isClosed, lease, isTimed = found[1], tonumber(found[2] or nil), found[3], tonumber(found[4] or nil), found[5]
local isTried = found[6]
-- The milliseconds for which the keys of a leased channel last while it is used, besides the lease.
local spare = 600000
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
-- Returns the holder of a loan, or of an entry of takers or askers.
local function holderOf(entry)
  return string.match(entry, '^%S*')
end

local alive = {}

-- Finds out which of these holders have living processes.
local function look(holders)
  local sessions = {}
  for _, holder in ipairs(holders) do
    local session = string.match(holder, '^[^/]*')
    if alive[session] == nil then
      alive[session] = false
      sessions[#sessions + 1] = 'channelts:' .. session
    end
  end
  for i = 1, #sessions, 500 do
    local counts = call('PUBSUB', 'NUMSUB', unpack(sessions, i, math.min(i + 499, #sessions)))
    for j = 1, #counts, 2 do alive[string.sub(counts[j], 11)] = counts[j + 1] > 0 end
  end
end

-- Whether a holder that was looked at has a living process.
local function isAlive(holder)
  return alive[string.match(holder, '^[^/]*')]
end

-- The keys that this script may have created.
local fresh = {}

-- Runs a command that may create a key.
local function store(command, key, ...)
  if lease then fresh[key] = true end
  return call(command, key, ...)
end

-- Gives the keys of a leased channel a time to live that this script may have created; each script that uses store ends with it.
local function touch()
  for key in pairs(fresh) do call('PEXPIRE', key, lease + spare) end
end

-- Keeps a leased channel. Its first key is renewed with all others, so none expires before it.
local function touchAll()
  if not lease then return end
  for _, key in ipairs(keys) do call('PEXPIRE', key, lease + spare) end
end

-- Returns the priority and the end of a message.
local function termsOf(seq)
  local text = isTimed and call('HGET', terms, seq)
  if not text then return 0, nil end
  local priority, over = string.match(text, '^(%S+) (%S*)$')
  return tonumber(priority) or 0, tonumber(over)
end

local function drop(seq)
  call('HDEL', bodies, seq)
  if isTried then call('HDEL', tries, seq) end
  if isTimed then call('HDEL', terms, seq) end
end

local function triesOf(seq)
  return isTried and call('HGET', tries, seq) or '-'
end

-- Notes how often a message was tried, by a command for a hash, which fails if another program has written no number.
local function setTries(command, seq, count)
  if not isTried then isTried = '1' call('HSET', meta, 'tried', 1) end
  if lease then fresh[tries] = true end
  redis.pcall(command, tries, seq, count)
end

-- Adds entries to takers or askers, for the holder that calls: at the end, or at the head.
local function join(queue, entries, atHead)
  local at = call('ZRANGE', queue, atHead and 0 or -1, atHead and 0 or -1, 'WITHSCORES')[2] or 0
  local args = {}
  for i, entry in ipairs(entries) do
    args[2 * i - 1], args[2 * i] = atHead and at - i or at + i, me .. ' ' .. entry
  end
  store('ZADD', queue, unpack(args))
end

local attachedHolders = {}

-- Whether a holder is attached. One that has detached may have left entries: what it is lent would be given back by nobody.
local function isAttached(holder)
  if attachedHolders[holder] == nil then attachedHolders[holder] = call('HEXISTS', links, holder) == 1 end
  return attachedHolders[holder]
end

-- Gives a message to the first attached and living taker; returns whether there is one. The message is stored, unless its bytes are given.
local function serve(seq, bytes)
  while true do
    local taker = call('ZPOPMIN', takers)[1]
    if not taker then return false end
    local holder, claim, mark = string.match(taker, '^(%S+) (%S+) (.)')
    local loan = holder and seq .. ' ' .. mark .. claim
    local isLent = loan and isAttached(holder) and notify(holder, 'lend ' .. loan .. ' ' .. triesOf(seq), bytes or call('HGET', bodies, seq))
    if isLent then
      store('ZADD', loans, 0, holder .. ' ' .. loan)
      return true
    end
  end
end

-- A message leaves those that wait.
local function popped(seq)
  if isTimed then call('ZREM', ends, seq) end
end

-- Lets a message wait at its place, unless its time is over, or a taker may have it and there is one.
local function place(seq, mayServe)
  local priority, over = termsOf(seq)
  if over and over <= clock() then return drop(seq) end
  if mayServe and serve(seq) then return end
  store('ZADD', ready, -priority, seq)
  if over then store('ZADD', ends, over, seq) end
end

-- Lets messages wait at their places, and then gives takers what is first there.
local function giveBack(seqs)
  for _, seq in ipairs(seqs) do place(seq, false) end
  while call('EXISTS', takers) == 1 do
    local seq = call('ZPOPMIN', ready)[1]
    if not seq then return end
    popped(seq)
    place(seq, true)
  end
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
  if not capacity then return end
  local at, left = 0, nil
  while true do
    local asker = call('ZRANGE', askers, at, at)[1]
    if not asker then return end
    left = left or room()
    if left <= 0 then return end
    local holder, ask, group = string.match(asker, '^(%S+) (%S+) (.*)$')
    if not holder or mayPut(holder, group) then
      call('ZREM', askers, asker)
      if holder and isAttached(holder) and notify(holder, 'room ' .. ask) then left = left - 1 end
    else
      at = at + 1
    end
  end
end

-- The channel is closed, and nothing is left: ends the waiting of all.
local function endIfOver()
  if not isClosed or call('EXISTS', bodies) == 1 then return end
  call('DEL', takers)
  for _, holder in ipairs(call('HKEYS', links)) do notify(holder, 'over') end
end

local function left()
  ring()
  endIfOver()
end

-- How many messages one script moves or drops because of the time. The rest is due at once.
local most = 200

-- Moves what is due, and drops what has expired.
local function advance()
  if not isTimed then return end
  local isLess = false
  local moved = {}
  for _, old in ipairs(call('ZRANGEBYSCORE', delayed, '-inf', clock(), 'LIMIT', 0, most)) do
    call('ZREM', delayed, old)
    local bytes = call('HGET', bodies, old)
    if bytes then
      local seq = string.format('%016.0f', call('HINCRBY', putters, 'seq', 1))
      store('HSET', bodies, seq, bytes)
      store('HSET', terms, seq, call('HGET', terms, old) or '0 ')
      drop(old)
      moved[#moved + 1] = seq
    end
  end
  if #moved > 0 then
    local count = call('HLEN', bodies)
    giveBack(moved)
    isLess = call('HLEN', bodies) < count
  end
  for _, seq in ipairs(call('ZRANGEBYSCORE', ends, '-inf', clock(), 'LIMIT', 0, most)) do
    call('ZREM', ends, seq)
    if call('ZREM', ready, seq) == 1 then drop(seq) isLess = true end
  end
  if isLess then left() end
end

-- How many messages wait, as if all that is due had been moved, and all that has expired dropped.
local function countWaiting()
  local count = call('ZCARD', ready)
  if not isTimed then return count end
  return count + call('ZCOUNT', delayed, '-inf', clock()) - call('ZCOUNT', ends, '-inf', clock())
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

-- The loans of a holder, in the order of their messages: "SEQ +CLAIM", or "SEQ -CLAIM" where attempts are not counted, or "SEQ -".
local function lentTo(holder)
  local found = call('ZRANGEBYLEX', loans, '[' .. holder .. ' ', '(' .. holder .. '!')
  for i, loan in ipairs(found) do found[i] = string.sub(loan, #holder + 2) end
  return found
end

-- Gives back what a holder has and has not shown to anybody: all, or what some of its claims were lent.
local function giveBackAll(holder, claims)
  local back = {}
  for _, loan in ipairs(lentTo(holder)) do
    local seq, claim = string.match(loan, '^(%S+) .(.*)$')
    if not claims or claims[claim] then
      call('ZREM', loans, holder .. ' ' .. loan)
      back[#back + 1] = seq -- nothing, if it is no loan
    end
  end
  giveBack(back)
end

-- Removes what the arguments from this one on name: entries of takers after <, and of askers after >.
local function forget(from)
  for i = from, #ARGV do
    call('ZREM', string.sub(ARGV[i], 1, 1) == '<' and takers or askers, string.sub(ARGV[i], 2))
  end
end

-- Keeps the number of the last put of a holder for a time: its process may live, and attach again.
local function bury(holder)
  local last = tonumber(call('HGET', putters, holder) or nil)
  if last then call('HSET', putters, holder, string.format('%.0f %.0f', last, clock())) end
end

-- How many links are looked at whenever it is asked for; more are looked at for a percent of the time at most.
local few = 16

-- Gives back what dead processes hold, counted as an attempt where the claimant wanted it; then tells who waits. If a process may
-- just have died, it is urgent. Returns whether any had died.
local function reap(isUrgent)
  local count = call('HLEN', links)
  if count > few then
    local reaped = tonumber(call('HGET', meta, 'reaped') or nil) or 0
    if clock() - reaped < math.min(count / (isUrgent and 50 or 4), 500) then return end
    call('HSET', meta, 'reaped', string.format('%.0f', clock()))
  end
  local dead, living = {}, {}
  local any = false
  local all = call('HKEYS', links)
  look(all)
  for _, holder in ipairs(all) do
    if holder ~= me and not isAlive(holder) then
      dead[holder] = true
      any = true
    else
      living[holder] = true
    end
  end
  if not any or not mayTakeForDead() then return end
  local back = {}
  for holder in pairs(dead) do
    call('HDEL', links, holder)
    bury(holder)
    for _, loan in ipairs(lentTo(holder)) do
      local seq, mark = string.match(loan, '^(%S+) (.)')
      call('ZREM', loans, holder .. ' ' .. loan)
      if mark == '+' then setTries('HINCRBY', seq, 1) elseif seq then setTries('HSETNX', seq, 0) end
      back[#back + 1] = seq
    end
  end
  for _, queue in ipairs({takers, askers}) do
    for _, entry in ipairs(call('ZRANGE', queue, 0, -1)) do
      if not living[holderOf(entry)] then call('ZREM', queue, entry) end -- also what detached links have left
    end
  end
  giveBack(back)
  left()
  return true
end

-- Looks at some links and putters, so that those of dead processes do not pile up where nobody waits.
local function tidy()
  local some = call('HRANDFIELD', links, 3)
  look(some)
  for _, holder in ipairs(some) do
    if not isAlive(holder) then reap(true) break end
  end
  local old = call('HRANDFIELD', putters, 3, 'WITHVALUES')
  for i = 1, #old, 2 do
    local buried = not tonumber(old[i + 1]) and (tonumber(string.match(old[i + 1], ' (%d+)$')) or 0)
    if buried and buried < clock() - spare then call('HDEL', putters, old[i]) end
  end
end
`;

/**
 * How a script begins that is for an attached link: it fails if the channel is gone, or another one has its name. A link that has
 * made a new name does not know the epoch before its attachment is answered, and writes `*`.
 */
export const attached: string = `
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
