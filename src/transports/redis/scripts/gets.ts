/** The plain case of `take`: one claim, for which one message is there, or which waits while nobody holds one. */
export const plainTake: string = `
local popping
if exists and (epoch == '*' or exists == epoch) and not (isTimed or isTried or isUnserved) and #ARGV == 7
  and call('HEXISTS', links, me) == 1 then
  popping = call('ZPOPMIN', ready, 1 + ARGV[3])
  local seq = popping[1]
  local bytes = #popping == 2 and call('HGET', bodies, seq)
  if bytes then
    call('ZADD', loans, 0, me .. ' ' .. seq .. ' ' .. ARGV[6] .. ARGV[5])
    if lease then call('PEXPIRE', loans, lease + spare) end
    return {0, 0, -1, seq, '-', bytes}
  elseif not seq and capacity ~= 0 and not isClosed and ARGV[4] == '0' and call('EXISTS', loans) == 0 then
    local last = call('ZRANGE', takers, -1, -1, 'WITHSCORES')[2] or 0
    call('ZADD', takers, last + 1, me .. ' ' .. ARGV[5] .. ' ' .. ARGV[6] .. ARGV[7])
    if lease then call('PEXPIRE', takers, lease + spare) end
    return {0, 1, -1}
  end
end
`;

/**
 * Takes messages. ARGV: me, epoch, how many to read ahead, whether to look only, then for each claim its number, `+` if
 * its attempts are counted or `-`, and the operation that it belongs to or "".
 *
 * Returns 1 if the channel is closed and empty, else 0; if the claims without a message wait, 1, or 2 if a message comes to
 * the first of them as soon as the process that has it dies, or 3 if they must be sent again, because one reply has at most
 * 2 MiB or one message, or what was there has expired, else 0; the time until something is due; and for each message its
 * number, how often it was tried or "-", and its bytes. A look at a channel of capacity 0 waits if there are askers.
 *
 * A script of a former connection, which arrives after the link has attached again, fails with LEFT: nobody would give back what it
 * was lent.
 */
export const take: string = `
if call('HEXISTS', links, me) == 0 then return redis.error_reply('LEFT the link has attached again') end
local mostBytes = 2097152
advance()
local ahead, isLook = tonumber(ARGV[3]), ARGV[4] == '1'
local claims = (#ARGV - 4) / 3
if isUnserved then serveWaiting() end
popping = popping or isUnserved and {} or call('ZPOPMIN', ready, claims + ahead)
local hasLoans = #popping < 2 * claims and call('EXISTS', loans) == 1
if hasLoans and reap() and not isUnserved then
  local more = call('ZPOPMIN', ready, claims - #popping / 2)
  for _, each in ipairs(more) do popping[#popping + 1] = each end
end
local out = {0, 0, -1}
local got, size, isCut, isLess = 0, 0, false, false
local lent = {}
for i = 1, #popping, 2 do
  local seq = popping[i]
  local bytes = call('HGET', bodies, seq)
  size = size + (bytes and #bytes or 0)
  if got > 0 and size > mostBytes then
    for j = i, #popping, 2 do store('ZADD', ready, popping[j + 1], popping[j]) end
    isCut = true
    break
  end
  local over = isTimed and tonumber(call('ZSCORE', ends, seq) or nil)
  if over then call('ZREM', ends, seq) end
  if not bytes or (over and over <= clock()) then
    drop(seq)
    isCut, isLess = true, true
  else
    got = got + 1
    lent[2 * got - 1] = 0
    lent[2 * got] = me .. ' ' .. seq .. ' ' .. (got <= claims and ARGV[3 * got + 3] .. ARGV[3 * got + 2] or '-')
    out[3 * got + 1], out[3 * got + 2], out[3 * got + 3] = seq, triesOf(seq), bytes
  end
end
if got > 0 then store('ZADD', loans, unpack(lent)) end
if got < claims then
  if isCut then
    out[2] = 3
  elseif isClosed and call('EXISTS', bodies) == 0 then
    out[1] = 1
  elseif not isLook or (capacity == 0 and call('EXISTS', askers) == 1) then
    out[2] = 1
    out[3] = nextDue()
    local waiting = {}
    for i = got + 1, claims do waiting[i - got] = ARGV[3 * i + 2] .. ' ' .. ARGV[3 * i + 3] .. ARGV[3 * i + 4] end
    join(takers, waiting)
    if hasLoans and isNext() then out[2] = 2 end
    if capacity == 0 then ring() end
  end
end
if isLess then left() end
touch()
return out
`;

/**
 * Claims no more. ARGV: me, epoch, then entries of takers. A message that was lent to such a claim has crossed the withdrawal:
 * it goes back before the link claims again.
 */
export const untake: string = `
local served, count = {}, 0
for i = 3, #ARGV do
  if call('ZREM', takers, me .. ' ' .. ARGV[i]) == 0 then
    served[string.match(ARGV[i], '^%S+')] = true
    count = count + 1
  end
end
if count > 0 then
  giveBackClaims(served, count)
  left()
  touch()
end
return 1
`;

/** The plain case of `accept`: one message of a channel without a capacity. */
export const plainAccept: string = `
if exists and (epoch == '*' or exists == epoch) and not (capacity or isClosed or isTimed or isTried) and #ARGV == 3 then
  if call('ZREM', loans, me .. ' ' .. ARGV[3]) == 0 then return 0 end
  call('HDEL', bodies, string.match(ARGV[3], '^%S+'))
  return 1
end
`;

/**
 * Accepts messages. ARGV: me, epoch, then for each message its number and what follows it in its loan. One that this link does not
 * have any more is left alone.
 */
export const accept: string = `
local lent, mine, seqs = {}, {}, {}
for i = 3, #ARGV do lent[i - 2] = me .. ' ' .. ARGV[i] end
local scores = #lent > 1 and call('ZMSCORE', loans, unpack(lent)) or {true}
for i, score in ipairs(scores) do
  if score then
    mine[#mine + 1] = lent[i]
    seqs[#seqs + 1] = string.match(ARGV[i + 2], '^%S+')
  end
end
if #mine == 0 or call('ZREM', loans, unpack(mine)) == 0 then return 0 end
call('HDEL', bodies, unpack(seqs))
if isTried then call('HDEL', tries, unpack(seqs)) end
if isTimed then call('HDEL', terms, unpack(seqs)) end
left()
return #mine
`;

/**
 * Returns messages to their places. ARGV: me, epoch, then for each message its number and what follows it in its loan, and how
 * often it was tried, or "-" if nobody has had it.
 */
export const release: string = `
local lent, mine, back, counts = {}, {}, {}, {}
for i = 3, #ARGV, 2 do lent[(i - 1) / 2] = me .. ' ' .. ARGV[i] end
local scores = call('ZMSCORE', loans, unpack(lent))
for i, entry in ipairs(lent) do
  if scores[i] then
    local seq, tried = string.match(ARGV[2 * i + 1], '^%S+'), ARGV[2 * i + 2]
    mine[#mine + 1], back[#back + 1] = entry, seq
    if tried ~= '-' then counts[#counts + 1], counts[#counts + 2] = seq, tried end
  end
end
if #mine == 0 then return 0 end
call('ZREM', loans, unpack(mine))
setAllTries(counts)
giveBack(back)
left()
touch()
return #back
`;
