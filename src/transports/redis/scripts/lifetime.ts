/**
 * Attaches a link, and continues what it held on an earlier connection.
 *
 * ARGV: me, epoch or "", whether to create, a new epoch, lease or "", capacity or "", the former holders, separated by
 * spaces, also those of attachments whose answers were lost, the number of messages that the link held, for each of them its number
 * with what follows it in its loan, and its id or "", then what the formers have asked for: `<` and entries of takers, `>` and entries
 * of askers. Returns epoch, capacity or -1, closed, events, the number and the bytes of the last control event, the time until
 * something is due, for each message whether the link holds it, and whether the channel is leased.
 */
export const attach: string = `
local isKnown = exists
-- Whether a message has this id: a server that has lost the last messages gives their numbers to others.
local function isMessage(seq, id)
  local bytes = id ~= '' and call('HGET', bodies, seq)
  return bytes and string.find(string.match(bytes, '^[^\\n]*'), '"' .. id .. '"', 1, true)
end

if not exists then
  if epoch ~= '' then return redis.error_reply('GONE it is another channel') end
  if ARGV[3] == '0' then return redis.error_reply('MISSING there is no channel') end
  exists = ARGV[4]
  call('UNLINK', unpack(keys)) -- the other keys of one whose lease is over may last a moment longer
  local fields = {'epoch', exists}
  if ARGV[5] ~= '' then fields[3], fields[4] = 'lease', ARGV[5] lease = tonumber(ARGV[5]) end
  if ARGV[6] ~= '' then fields[#fields + 1] = 'capacity' fields[#fields + 1] = ARGV[6] capacity = tonumber(ARGV[6]) end
  store('HSET', meta, unpack(fields))
  arrive(true)
elseif epoch ~= '' and epoch ~= '*' and exists ~= epoch then
  return redis.error_reply('GONE it is another channel')
else
  arrive()
end
store('HSET', links, me, 1)
local formers = {}
for former in string.gmatch(ARGV[7], '%S+') do formers[#formers + 1] = former end
-- Whether the link has a loan still, or gets it again, which is then no new attempt.
local function continue(loan, id)
  for _, former in ipairs(formers) do
    if call('ZREM', loans, former .. ' ' .. loan) == 1 then return true end
  end
  local seq, mark = string.match(loan, '^(%S+) (.)')
  if not isMessage(seq, id) or call('ZREM', ready, seq) == 0 then return false end
  popped(seq)
  local tried = triesOf(seq)
  if mark == '+' and tried ~= '-' and tonumber(tried) > 0 then setTries('HINCRBY', seq, -1) end
  return true
end
local kept = {}
local count = tonumber(ARGV[8])
for i = 1, count do
  local loan = ARGV[2 * i + 7]
  kept[i] = continue(loan, ARGV[2 * i + 8]) and 1 or 0
  if kept[i] == 1 then store('ZADD', loans, 0, me .. ' ' .. loan) end
end
forget(2 * count + 9)
local last = 0
for _, former in ipairs(formers) do
  last = math.max(last, tonumber(string.match(call('HGET', putters, former) or '', '^%d+')) or 0)
  call('HDEL', putters, former)
  call('HDEL', links, former)
  giveBackAll(former)
end
store('HSET', putters, me, string.format('%.0f', last))
if isKnown then tidy() end
if isKnown then
  advance()
  left()
  touchAll()
else
  touch()
end
local announced = isKnown and call('HMGET', meta, 'events', 'control', 'controlEvent') or {}
return {exists, capacity or -1, isClosed and 1 or 0, tonumber(announced[1] or 0), tonumber(announced[2] or 0), announced[3] or '',
  nextDue(), kept, lease and 1 or 0}
`;

/** Detaches a link. ARGV: me, epoch, what it has asked for, as for `attach`. */
export const detach: string = `
if not exists or (epoch ~= '*' and exists ~= epoch) then return 0 end
call('HDEL', links, me)
call('HDEL', putters, me)
forget(3)
giveBackAll(me)
left()
if not lease then return 1 end
local all = call('HKEYS', links)
look(all)
for _, holder in ipairs(all) do
  if isAlive(holder) then touchAll() return 1 end
end
for _, key in ipairs(keys) do call('PEXPIRE', key, lease) end
return 1
`;

/**
 * Gives back what dead processes held, and moves what is due. ARGV: me, epoch, 1 if a process may just have died. Returns the time
 * until something is due, and whether this process is the next to get what another one holds.
 */
export const tick: string = `
advance()
reap(ARGV[3] == '1')
ring()
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
reap()
touch()
return countWaiting()
`;

/** Returns the numbers of waiting messages, loans, takers and delayed messages, the capacity or -1, and whether it is closed. */
export const stats: string = `
advance()
reap()
touch()
return {countWaiting(), call('ZCARD', loans), call('ZCARD', takers), call('ZCARD', delayed), capacity or -1,
  isClosed and 1 or 0}
`;

/** Sends an event to all other links. ARGV: me, epoch, whether it is a control event, the event. Returns its number. */
export const announce: string = `
local number = call('HINCRBY', meta, 'events', 1)
if ARGV[3] == '1' then call('HSET', meta, 'control', number, 'controlEvent', ARGV[4]) end
for _, holder in ipairs(call('HKEYS', links)) do
  if holder ~= me then notify(holder, 'announced ' .. number, ARGV[4]) end
end
return number
`;
