/**
 * What a script does about processes that have died, after `common`. A script gives back, and searches, a limited amount; the links of
 * the dead remain until nothing of them is left. docs/internals/redis.md, "How a death is noticed", says which scripts look.
 */
export const deaths: string = `
-- Keeps the numbers of the last put and the last announcement of a holder for a time: its process may live, and attach again.
local function bury(holder, announced)
  local last = tonumber(call('HGET', putters, holder) or nil)
  if last then
    call('HSET', putters, holder, string.format('%.0f %.0f %.0f', last, clock(), tonumber(announced) or 0))
  end
end

-- How many links are looked at whenever it is asked for; more are looked at for a percent of the time at most.
local few = 16

-- Counts an attempt for messages whose claimants wanted it, and lets the others count as tried.
local function countAttempts(seqs, marks)
  local old = isTried and #seqs > 0 and call('HMGET', tries, unpack(seqs)) or {}
  local counts = {}
  for i, seq in ipairs(seqs) do
    local count = not old[i] and 0 or string.match(old[i], '^%d+$') -- another program may have written no number
    if count and (marks[i] == '+' or not old[i]) then
      counts[#counts + 1], counts[#counts + 2] = seq, string.format('%.0f', count + (marks[i] == '+' and 1 or 0))
    end
  end
  setAllTries(counts)
end

-- Removes the entries of a queue that are of no living holder, also those that detached links have left. A long queue takes several
-- scripts: returns the score after which the next one goes on, or "end".
local function sweep(queue, living, from)
  if from == 'end' then return from end
  local entries = call('ZRANGEBYSCORE', queue, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
  local gone = {}
  for i = 1, #entries, 2 do
    if not living[holderOf(entries[i])] then gone[#gone + 1] = entries[i] end
  end
  storeAll('ZREM', queue, gone)
  return #entries == 2000 and '(' .. entries[2000] or 'end'
end

-- Gives back what dead processes hold, counted as an attempt where the claimant wanted it; then tells who waits. If a process may
-- just have died, it is urgent. The links of dead processes remain until nothing of them is left. Returns how many messages are left
-- to the next script, or nil if no process had died.
local function reap(isUrgent)
  local count = call('HLEN', links)
  if count > few then
    local reaped = tonumber(call('HGET', meta, 'reaped') or nil) or 0
    if clock() - reaped < math.min(count / (isUrgent and 50 or 4), 500) then return end
    call('HSET', meta, 'reaped', string.format('%.0f', clock()))
  end
  local dead, living = {}, {}
  local all = call('HKEYS', links)
  look(all)
  for _, holder in ipairs(all) do
    if holder ~= me and not isAlive(holder) then dead[#dead + 1] = holder else living[holder] = true end
  end
  if #dead == 0 or not mayTakeForDead() then return end
  table.sort(dead)
  local seqs, marks, rest = {}, {}, 0
  for _, holder in ipairs(dead) do
    local lent, more = takeBack(holder)
    for _, loan in ipairs(lent) do
      local seq, mark = string.match(loan, '^(%S+) (.)')
      seqs[#seqs + 1] = seq
      if seq then marks[#seqs] = mark end
    end
    rest = rest + more
  end
  local noted = call('HGET', meta, 'swept')
  local which = #dead .. ' ' .. dead[1]
  local theirs, ofTakers, ofAskers = string.match(noted or '', '^(%S+ %S+) (%S+) (%S+)$')
  if theirs ~= which then ofTakers, ofAskers = '-inf', '-inf' end
  ofTakers, ofAskers = sweep(takers, living, ofTakers), sweep(askers, living, ofAskers)
  if rest == 0 and ofTakers == 'end' and ofAskers == 'end' then
    for _, holder in ipairs(dead) do
      bury(holder, call('HGET', links, holder))
      call('HDEL', links, holder)
    end
    if noted then call('HDEL', meta, 'swept') end
  else
    isUnfinished = true
    call('HSET', meta, 'swept', which .. ' ' .. ofTakers .. ' ' .. ofAskers, 'reaped', 0)
  end
  countAttempts(seqs, marks)
  giveBack(seqs)
  left()
  return rest
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
    local buried = not tonumber(old[i + 1]) and (tonumber(string.match(old[i + 1], '^%S+ (%d+)')) or 0)
    if buried and buried < clock() - spare then call('HDEL', putters, old[i]) end
  end
end
`;
