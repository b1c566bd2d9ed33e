/** The plain case of `put`: one message without terms, which was not sent before, for a channel without a capacity. */
export const plainPut: string = `
if exists and (epoch == '*' or exists == epoch) and not (capacity or isClosed or isTimed or isUnserved) and #ARGV == 11
  and ARGV[3] == '0' and ARGV[5] == '0' and ARGV[8] == '0' and ARGV[9] == '' and ARGV[10] == '' then
  local noted = call('HMGET', putters, 'seq', me)
  if noted[2] and tonumber(noted[2]) then
    local number, bytes = tonumber(noted[1] or 0) + 1, ARGV[11]
    local seq = string.format('%016.0f', number)
    local taker = call('ZPOPMIN', takers)[1]
    local place, entry = ready, seq
    if taker then
      local holder, claim, mark = string.match(taker, '^(%S+) (%S+) (.)')
      local loan = holder and seq .. ' ' .. mark .. claim
      place, entry = loans, loan and call('HEXISTS', links, holder) == 1 and notify(holder, 'lend ' .. loan .. ' -', bytes)
        and holder .. ' ' .. loan
    end
    if entry then
      call('HSET', bodies, seq, bytes)
      call('ZADD', place, 0, entry)
      call('HSET', putters, 'seq', string.format('%.0f', number), me, ARGV[6])
      if lease then
        call('PEXPIRE', bodies, lease + spare)
        call('PEXPIRE', place, lease + spare)
      end
      return {1}
    end
  end
end
`;

/**
 * Puts messages. ARGV: me, epoch, whether the messages may have been put before, how an asker joins (0: at the end, 1: at the head,
 * since it was told of room), the number of the last put that was sent before and is not confirmed or 0, then for each message: its
 * number, whether it waits for room, its priority, delay, expiry, and bytes.
 *
 * Returns for each message: 1 put, 0 full, -1 closed. A message is refused as full if an earlier one that waits for room
 * was. The link then asks for room, as asker 0.
 *
 * All numbers up to the one that the server notes were put, so that a copy is known: a script that follows a refused one
 * fails with GAP. A script of a former connection, which arrives after the link has attached again, fails with LEFT.
 */
export const put: string = `
local noted = call('HMGET', putters, 'seq', me)
local before = noted[2] and tonumber(noted[2])
if not before then return redis.error_reply('LEFT the link has attached again') end
local isAgain, previous = ARGV[3] == '1', tonumber(ARGV[5])
-- The server has refused an earlier script, which is sent again: what follows it must not overtake it.
if previous > before and not isClosed then return redis.error_reply('GAP an earlier put is missing') end
advance()
if isUnserved then serveWaiting() end
local count = capacity and call('HLEN', bodies) or 0
local seq = tonumber(isTimed and call('HGET', putters, 'seq') or noted[1] or 0)
local last, isFull, mustTell = nil, false, false
local mayHaveTakers = not isUnserved -- older messages come first
local out = {}
for i = 6, #ARGV, 6 do
  local number, waits, priority, delay, expires, bytes =
    tonumber(ARGV[i]), ARGV[i + 1] == '1', ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local outcome
  if isAgain and number <= before then
    outcome = 1
  elseif isClosed then
    outcome = -1
  elseif isFull or (capacity and capacity > 0 and count >= capacity) then
    outcome = 0
  else
    local key = string.format('%016.0f', seq + 1)
    local isServed = delay == '' and mayHaveTakers and serve(key, bytes)
    if delay == '' then mayHaveTakers = isServed end
    if capacity == 0 and delay == '' and not isServed then
      outcome = 0
    else
      outcome = 1
      seq, last, count = seq + 1, number, count + 1
      store('HSET', bodies, key, bytes)
      local over = expires ~= '' and string.format('%.0f', clock() + expires) or ''
      if priority ~= '0' or delay ~= '' or over ~= '' then
        if not isTimed then isTimed = '1' call('HSET', meta, 'timed', 1) end
        store('HSET', terms, key, priority .. ' ' .. over)
      end
      if delay ~= '' then
        store('ZADD', delayed, clock() + delay, key)
        mustTell = true
      elseif not isServed then
        store('ZADD', ready, -tonumber(priority), key)
        if over ~= '' then store('ZADD', ends, over, key) mustTell = true end
      end
    end
  end
  if outcome == 0 and waits then isFull = true end
  out[#out + 1] = outcome
end
if last then call('HSET', putters, 'seq', string.format('%.0f', seq), me, string.format('%.0f', last)) end
if isFull then join(askers, {'0 '}, ARGV[4] == '1') end
if mustTell then
  local due = nextDue()
  local told = {}
  for _, queue in ipairs({takers, askers}) do
    for _, entry in ipairs(call('ZRANGE', queue, 0, 9)) do
      local holder = string.match(entry, '^%S+')
      if not told[holder] then told[holder] = true notify(holder, 'due ' .. due) end
    end
  end
  out[#out + 1] = due
end
touch()
return out
`;

/**
 * Asks for room. ARGV: me, epoch, the number of the asker, the operation that it belongs to or "". Returns whether there is
 * room, and the time until something is due.
 */
export const ask: string = `
advance()
reap()
local hasRoom = mayPut(me, ARGV[4])
if not hasRoom then join(askers, {ARGV[3] .. ' ' .. ARGV[4]}) end
touch()
return {hasRoom and 1 or 0, hasRoom and -1 or nextDue()}
`;

/** Asks for room no more. ARGV: me, epoch, then entries of askers. One that was told of room passes that on. */
export const unask: string = `
local isPassed = false
for i = 3, #ARGV do
  if call('ZREM', askers, me .. ' ' .. ARGV[i]) == 0 then isPassed = true end
end
if isPassed then ring() end
return 1
`;
