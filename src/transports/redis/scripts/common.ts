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
local found = call('HMGET', meta, 'epoch', 'capacity', 'closed', 'lease', 'timed', 'tried', 'unserved')
local exists, capacity, isClosed, lease, isTimed = found[1], tonumber(found[2] or nil), found[3], tonumber(found[4] or nil), found[5]
local isTried, isUnserved = found[6], found[7]
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

-- Runs a command that may create a key for many entries, in parts that the stack of Lua takes.
local function storeAll(command, key, entries)
  for i = 1, #entries, 1000 do store(command, key, unpack(entries, i, math.min(i + 999, #entries))) end
end

-- Notes how often messages were tried: each number of a message is followed by a count.
local function setAllTries(counts)
  if #counts == 0 then return end
  if not isTried then isTried = '1' call('HSET', meta, 'tried', 1) end
  storeAll('HSET', tries, counts)
end

-- How many messages of dead or detached holders one script gives back: while it runs, the server serves nobody else.
local mostBack = 1000

-- How many messages that wait one script gives to takers, and how many bytes: they fill the buffers of the takers' connections.
local mostServed, mostServedBytes = 1000, 2097152

-- How many ends of a queue one script looks at, with up to 1000 entries each.
local sweeps = 20

local silent = {}

-- Removes the entries of dead processes, of which one was found, that are first in a queue. Returns false if there may be more of them.
local function behead(queue, holder)
  local session = string.match(holder, '^[^/]*')
  if not silent[session] then silent[session] = true return true end
  repeat
    if sweeps == 0 then return false end
    sweeps = sweeps - 1
    local entries = call('ZRANGE', queue, 0, 999)
    local count = 0
    while count < #entries and silent[string.match(entries[count + 1], '^[^/]*')] do count = count + 1 end
    if count > 0 then call('ZREMRANGEBYRANK', queue, 0, count - 1) end
  until count < 1000
  return true
end

-- Notes whether messages may wait although takers do, because a script gives them a limited number: the next scripts do the rest.
local function noteUnserved(is)
  if is then
    if not isUnserved then call('HSET', meta, 'unserved', 1) end
    local first = call('ZRANGE', takers, 0, 0)[1]
    if first then notify(holderOf(first), 'due 0') end
  elseif isUnserved then
    call('HDEL', meta, 'unserved')
  end
  isUnserved = is
end

-- Gives a message to the first attached and living taker; returns the number of its bytes, or nil if there is none. The message is
-- stored, unless its bytes are given.
local function serve(seq, bytes)
  while true do
    local taker = call('ZPOPMIN', takers)[1]
    if not taker then return nil end
    local holder, claim, mark = string.match(taker, '^(%S+) (%S+) (.)')
    local loan = holder and seq .. ' ' .. mark .. claim
    if loan and isAttached(holder) then
      local body = bytes or call('HGET', bodies, seq)
      if notify(holder, 'lend ' .. loan .. ' ' .. triesOf(seq), body) then
        store('ZADD', loans, 0, holder .. ' ' .. loan)
        return body and #body or 0
      end
      if not behead(takers, holder) then return noteUnserved(true) end
    end
  end
end

-- A message leaves those that wait.
local function popped(seq)
  if isTimed then call('ZREM', ends, seq) end
end

-- Lets a message wait at its place, unless its time is over, or a taker may have it and there is one. Returns how many bytes a taker got.
local function place(seq, mayServe)
  local priority, over = termsOf(seq)
  if over and over <= clock() then drop(seq) return 0 end
  local size = mayServe and serve(seq)
  if size then return size end
  store('ZADD', ready, -priority, seq)
  if over then store('ZADD', ends, over, seq) end
  return 0
end

-- Gives takers what is first of the messages that wait.
local function serveWaiting()
  local count, size = 0, 0
  while call('EXISTS', takers) == 1 do
    if count == mostServed or size >= mostServedBytes or sweeps == 0 then return noteUnserved(true) end
    local seq = call('ZPOPMIN', ready)[1]
    if not seq then break end
    popped(seq)
    count, size = count + 1, size + place(seq, true)
  end
  noteUnserved(false)
end

-- Lets messages wait at their places, and then gives takers what is first there.
local function giveBack(seqs)
  if isTimed then
    for _, seq in ipairs(seqs) do place(seq, false) end
  else
    local entries = {}
    for i, seq in ipairs(seqs) do entries[2 * i - 1], entries[2 * i] = 0, seq end
    storeAll('ZADD', ready, entries)
  end
  serveWaiting()
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
      if holder and isAttached(holder) then
        if notify(holder, 'room ' .. ask) then left = left - 1
        elseif not behead(askers, holder) then return end -- tick goes on
      end
    else
      at = at + 1
    end
  end
end

-- The channel is closed, and nothing is left: ends the waiting of all.
local function endIfOver()
  if not isClosed or call('EXISTS', bodies) == 1 or call('DEL', takers) == 0 then return end
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

-- Whether this script has left work to the next ones, because it does a limited amount.
local isUnfinished = false

-- Returns the milliseconds until something is due or expires, or until the next script has work; -1: nothing is.
local function nextDue()
  if isUnfinished or isUnserved then return 0 end
  if not isTimed then return -1 end
  local first = call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  local over = call('ZRANGE', ends, 0, 0, 'WITHSCORES')[2]
  if not first and not over then return -1 end
  local time = math.min(tonumber(first or math.huge), tonumber(over or math.huge))
  return math.max(time - clock(), 0)
end

-- The entries of the loans of a holder begin with its name: "SEQ +CLAIM" follows, or "SEQ -CLAIM" where attempts are not counted, or
-- "SEQ -". Returns the bounds of their range, which is in the order of the messages.
local function boundsOf(holder)
  return '[' .. holder .. ' ', '(' .. holder .. '!'
end

-- Takes loans from a holder, the oldest first, not more than this script may give back. Returns them without the name of the holder, and
-- how many are left.
local function takeBack(holder)
  if mostBack == 0 then return {}, call('ZLEXCOUNT', loans, boundsOf(holder)) end
  local first, last = boundsOf(holder)
  local found = call('ZRANGEBYLEX', loans, first, last, 'LIMIT', 0, mostBack)
  if #found == 0 then return found, 0 end
  call('ZREM', loans, unpack(found))
  local left = #found == mostBack and call('ZLEXCOUNT', loans, first, last) or 0
  mostBack = mostBack - #found
  for i, entry in ipairs(found) do found[i] = string.sub(entry, #holder + 2) end
  return found, left
end

-- Gives back what a holder has and has not shown to anybody. Returns how many messages are left to the next script.
local function giveBackAll(holder)
  local lent, left = takeBack(holder)
  local back = {}
  for _, loan in ipairs(lent) do
    back[#back + 1] = string.match(loan, '^(%S+) ') -- nothing, if it is no loan
  end
  giveBack(back)
  return left
end

-- Gives back what some claims of the holder that calls were lent, by their numbers. They are among its last loans.
local function giveBackClaims(claims, count)
  local first, last = boundsOf(me)
  local back = {}
  local at = 0
  repeat
    local found = call('ZREVRANGEBYLEX', loans, last, first, 'LIMIT', at, 100)
    local mine = {}
    for _, entry in ipairs(found) do
      local seq, claim = string.match(entry, '^%S+ (%S+) .(.*)$')
      if claims[claim] then
        mine[#mine + 1], back[#back + 1] = entry, seq
        count = count - 1
      end
    end
    if #mine > 0 then call('ZREM', loans, unpack(mine)) end
    at = at + #found - #mine
  until count == 0 or #found < 100
  giveBack(back)
end

-- Removes what the arguments from this one on name: entries of takers after <, and of askers after >.
local function forget(from)
  local named = {[takers] = {}, [askers] = {}}
  for i = from, #ARGV do
    local entries = named[string.sub(ARGV[i], 1, 1) == '<' and takers or askers]
    entries[#entries + 1] = string.sub(ARGV[i], 2)
  end
  for queue, entries in pairs(named) do storeAll('ZREM', queue, entries) end
end
`;
