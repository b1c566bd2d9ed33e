/** The plain case of `attach`, and how each other one begins: a link without a former attachment makes the channel. */
export const plainAttach: string = `
local isKnown = exists
if not isKnown then
  if epoch ~= '' then return redis.error_reply('GONE it is another channel') end
  if ARGV[3] == '0' then return redis.error_reply('MISSING there is no channel') end
  exists, lease, capacity = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
  call('UNLINK', unpack(keys)) -- the other keys of one whose lease is over may last a moment longer
  local fields = {'epoch', exists}
  if lease then fields[3], fields[4] = 'lease', ARGV[5] end
  if capacity then fields[#fields + 1] = 'capacity' fields[#fields + 1] = ARGV[6] end
  call('HSET', meta, unpack(fields))
  arrive(true)
  if ARGV[7] == '' and #ARGV == 10 then
    call('HSET', links, me, 0)
    call('HSET', putters, me, 0)
    if lease then
      for _, key in ipairs({meta, links, putters}) do call('PEXPIRE', key, lease + spare) end
    end
    return {exists, capacity or -1, 0, 0, 0, '', -1, {}, lease and 1 or 0, 0, 0}
  end
elseif epoch ~= '' and epoch ~= '*' and exists ~= epoch then
  return redis.error_reply('GONE it is another channel')
end
`;

/**
 * Attaches a link, and continues what it held on an earlier connection.
 *
 * ARGV: me, epoch or "", whether to create, a new epoch, lease or "", capacity or "", the former holders, separated by
 * spaces, also those of attachments whose answers were lost, whether another part follows, the number of parts before this one, the
 * number of messages that the link held, for each of them its number with what follows it in its loan, and its id or "", then what the
 * formers have asked for: `<` and entries of takers, `>` and entries of askers. A link that held or asked for much attaches in parts, of
 * which only the last one gives back what is not continued. A part fails with BUSY if one before it was refused.
 *
 * Returns epoch, capacity or -1, closed, events, the number and the bytes of the last control event, the time until something is due,
 * for each message whether the link holds it, whether the channel is leased, whether the formers still have something, so that they
 * must be detached, and the number that the link gave to its last announcement.
 */
export const attach: string = `
-- Whether a message has this id: a server that has lost the last messages gives their numbers to others.
local function isMessage(seq, id)
  local bytes = id ~= '' and call('HGET', bodies, seq)
  return bytes and string.find(string.match(bytes, '^[^\\n]*'), '"' .. id .. '"', 1, true)
end

local before = tonumber(ARGV[9])
if before > 0 and tonumber(call('HGET', links, me) or nil) ~= -before then
  return redis.error_reply('BUSY an earlier part of the attachment was refused')
end
if isKnown then arrive() end
store('HSET', links, me, ARGV[8] == '1' and -before - 1 or 0)
local formers = {}
for former in string.gmatch(ARGV[7], '%S+') do formers[#formers + 1] = former end
-- Whether the link gets again what was a loan of it and waits now, which is then no new attempt.
local function regain(loan, id)
  local seq, mark = string.match(loan, '^(%S+) (.)')
  if not isMessage(seq, id) or call('ZREM', ready, seq) == 0 then return false end
  popped(seq)
  local tried = tonumber(triesOf(seq))
  if mark == '+' and tried and tried > 0 then setAllTries({seq, string.format('%.0f', tried - 1)}) end
  return true
end
local count = tonumber(ARGV[10])
local isKept, kept, entries = {}, {}, {}
for _, former in ipairs(formers) do
  local theirs, mine = {}, {}
  for i = 1, count do theirs[i] = former .. ' ' .. ARGV[2 * i + 9] end
  for i, score in ipairs(count > 0 and call('ZMSCORE', loans, unpack(theirs)) or {}) do
    if score then isKept[i], mine[#mine + 1] = true, theirs[i] end
  end
  if #mine > 0 then call('ZREM', loans, unpack(mine)) end
end
for i = 1, count do
  local loan = ARGV[2 * i + 9]
  kept[i] = (isKept[i] or regain(loan, ARGV[2 * i + 10])) and 1 or 0
  if kept[i] == 1 then entries[#entries + 1], entries[#entries + 2] = 0, me .. ' ' .. loan end
end
storeAll('ZADD', loans, entries)
forget(2 * count + 11)
if ARGV[8] == '1' then
  touchAll()
  return {exists, -1, 0, 0, 0, '', -1, kept, 0, 0, 0}
end
local last, lastAnnounced, rest = 0, 0, 0
for _, former in ipairs(formers) do
  local noted = call('HGET', putters, former) or ''
  last = math.max(last, tonumber(string.match(noted, '^%d+')) or 0)
  local said = call('HGET', links, former) or string.match(noted, '^%d+ %d+ (%d+)$')
  lastAnnounced = math.max(lastAnnounced, tonumber(said) or 0)
  call('HDEL', putters, former)
  attachedHolders[former] = false
  local theirs = giveBackAll(former)
  if theirs == 0 then call('HDEL', links, former) end
  rest = rest + theirs
end
store('HSET', putters, me, string.format('%.0f', last))
if lastAnnounced > 0 then call('HSET', links, me, string.format('%.0f', lastAnnounced)) end
if isKnown then
  tidy()
  advance()
  left()
end
touchAll()
local announced = isKnown and call('HMGET', meta, 'events', 'control', 'controlEvent') or {}
return {exists, capacity or -1, isClosed and 1 or 0, tonumber(announced[1] or 0), tonumber(announced[2] or 0), announced[3] or '',
  nextDue(), kept, lease and 1 or 0, rest > 0 and 1 or 0, lastAnnounced}
`;

/**
 * Detaches a link. ARGV: me, epoch, whether another part follows, what it has asked for, as for `attach`. Returns 1, or 2 if the link
 * still has something, so that the script must run again.
 */
export const detach: string = `
if not exists or (epoch ~= '*' and exists ~= epoch) then return 0 end
forget(4)
if ARGV[3] == '1' then return 1 end
call('HDEL', putters, me)
attachedHolders[me] = false
local rest = giveBackAll(me)
left()
if rest > 0 then
  touch()
  return 2
end
call('HDEL', links, me)
if not lease then return 1 end
local cursor, found = '0', nil
repeat
  cursor, found = unpack(call('HSCAN', links, cursor, 'COUNT', 100))
  local holders = {}
  for i = 1, #found, 2 do holders[#holders + 1] = found[i] end
  look(holders)
  for _, holder in ipairs(holders) do
    if isAlive(holder) then touchAll() return 1 end
  end
until cursor == '0'
for _, key in ipairs(keys) do call('PEXPIRE', key, lease) end
return 1
`;

/**
 * Gives back what dead processes held, and moves what is due. ARGV: me, epoch, 1 if a process may just have died. Returns the time
 * until something is due, and whether this process is the next to get what another one holds.
 */
export const tick: string = `
advance()
if isUnserved then serveWaiting() end
reap(ARGV[3] == '1')
left()
touchAll()
return {nextDue(), isNext() and 1 or 0}
`;

/** Returns how many clients have left the server since it was started, or -1 if the user may not know. Without a channel. */
export const departures: string = `
local info = redis.pcall('INFO', 'clients', 'stats')
if type(info) ~= 'string' then return -1 end
local all = string.match(info, 'total_connections_received:(%d+)')
local here = string.match(info, 'connected_clients:(%d+)')
return all and here and all - here or -1
`;

/** Closes the channel until it is deleted. ARGV: me, epoch. */
export const drain: string = `
isClosed = '1'
call('HSET', meta, 'closed', 1)
for _, holder in ipairs(call('HKEYS', links)) do notify(holder, 'closed') end
call('DEL', askers)
advance()
reap()
endIfOver()
touch()
return 1
`;

/** Deletes the channel. ARGV: me, epoch. */
export const remove: string = `
for _, holder in ipairs(call('HKEYS', links)) do
  if holder ~= me then notify(holder, 'gone') end
end
call('UNLINK', unpack(keys))
return 1
`;

/** Returns the number of messages that wait. ARGV: me, epoch. */
export const depth: string = `
advance()
local rest = reap() or 0
touch()
return countWaiting() + rest
`;

/** Returns the numbers of waiting messages, loans, takers and delayed messages, the capacity or -1, and whether it is closed. */
export const stats: string = `
advance()
local rest = reap() or 0
touch()
return {countWaiting() + rest, call('ZCARD', loans) - rest, call('ZCARD', takers), call('ZCARD', delayed), capacity or -1,
  isClosed and 1 or 0}
`;

/**
 * Sends an event to all other links. ARGV: me, epoch, whether it is a control event, the event, the number that the link gives to
 * it. Returns the number that the channel gives to it. As in `put`, a script of a former connection fails with LEFT.
 */
export const announce: string = `
if not tonumber(call('HGET', putters, me) or nil) then return redis.error_reply('LEFT the link has attached again') end
call('HSET', links, me, ARGV[5])
local number = call('HINCRBY', meta, 'events', 1)
if ARGV[3] == '1' then call('HSET', meta, 'control', number, 'controlEvent', ARGV[4]) end
for _, holder in ipairs(call('HKEYS', links)) do
  if holder ~= me then notify(holder, 'announced ' .. number, ARGV[4]) end
end
return number
`;
