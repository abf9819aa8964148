-- How a chunk is settled; shared by the scripts `settle` and `turn`.
-- settled(at) writes what one attempt at a chunk taught, and hands the chunk on: ended, or back to its lane whole or
-- in parts.
-- ARGV from at:  1 chunk id   2 batch id   3 account   4 token   5 now, ms   6 calls made (0 or 1)   7 sent, ms
--                8 events kept   9 key of the account's pause if the venue is well again, else ''
--                10 how the sweep of the account stands, in words, or ''   11 '1' if it has shown the account empty
--                12 number of outcomes, then for each: place, standing
--                then number of siblings, then for each: name ('["account","kind","id","symbol"]'), standing
--                then number of parts that go on, then for each: step, places ('0,1'), ms from which it may be
--                taken up, namespace ('-': none, '': as before).  Step 'cancel': cancel them (again); 'read', 'single',
--                'unknown', 'listing': read how they stand (modes of proof_key()); 'sweep': list again (places: since
--                when it is empty)
--                then number of usages, then for each: limit's key, units, window in ms, units left by the venue's count
-- Gives 1 if the token was the newest (else the chunk is another's; the outcomes count all the same, but not of a
-- sweep), 1 if the batch ended, and the index behind its last argument.  Orders of the chunk that are in no part are settled.

-- Take over a venue's count of a window where it is higher than ours: somebody else calls with the same key or IP.
local function note_usage(key, units, window, left, sent)
  local used = math.min(units, units - left)
  local function counts_until(index)
    local at = redis.call('LINDEX', key, index)
    return at and tonumber(at) > sent - window
  end
  if used <= 0 or counts_until(used - 1) then return end
  local low, high = 0, used - 1 -- the number of our own entries in the window, by halves
  while low < high do
    local middle = math.floor((low + high) / 2)
    if counts_until(middle) then low = middle + 1 else high = middle end
  end
  local newest = tonumber(redis.call('LINDEX', key, 0) or '0')
  local entry = math.max(newest, sent)
  for _ = 1, used - low do redis.call('LPUSH', key, text(entry)) end
  redis.call('LTRIM', key, 0, 2 * units - 1)
  redis.call('PEXPIRE', key, window * 2 + entry - sent)
end

-- Find the first entry of a window that is no later than *left*.  Gives it or nil, and whether the place before it is
-- known: entries that belong far behind stay where they are.
local BLOCK, BLOCKS = 20, 5
local function place_of(key, left)
  for block = 0, BLOCKS - 1 do
    local entries = redis.call('LRANGE', key, block * BLOCK, (block + 1) * BLOCK - 1)
    for _, entry in ipairs(entries) do
      if tonumber(entry) <= left then return entry, true end
    end
    if #entries < BLOCK then return nil, block > 0 or #entries > 0 end
  end
  return nil, false
end

-- Write a permission down for when its call left, *elapsed* ms after it was given; until now it stood there for the
-- latest time at which that might be.
local function correct(spent, elapsed)
  for key, units, latest, slack in string.gmatch(spent, '([^\n]+) (%d+) (%d+) (%d+)') do
    local left = tonumber(latest) - math.max(0, tonumber(slack) - elapsed)
    local behind, known
    if left < tonumber(latest) then behind, known = place_of(key, left) end
    if known then
      for _ = 1, units do
        if behind then redis.call('LINSERT', key, 'BEFORE', behind, text(left)) else redis.call('RPUSH', key, text(left)) end
      end
      redis.call('LREM', key, units, latest)
    end
  end
end

-- Fold what was learned of an order into the batches that waited for it.
local function tell_followers(id, account, learned)
  for _, follower in ipairs(redis.call('LRANGE', P .. 'followers:' .. id, 0, -1)) do
    local place, batch_id, its_place = string.match(follower, '^(%S+) (%S+) (%S+) (%S+)$')
    if learned[place] and redis.call('EXISTS', P .. 'batch:' .. batch_id) == 1 then
      local change = {}
      fold(batch_id, account, { its_place, learned[place] }, change)
      write_counts(batch_id, change)
    end
  end
end

-- Remember for other batches what became of orders: which are gone, and which a cancel may have reached.
local function remember(batch_id, account, learned, now)
  local symbols, lasting = naming(account)
  local places, flat = {}, { gone = {}, sent = {} }
  for place, standing in pairs(learned) do
    local status = string.match(standing, STATUS)
    if strength(standing) >= GONE or status == 'accepted' or status == 'unknown' then places[#places + 1] = place end
  end
  if #places == 0 then return end
  for i, order in ipairs(redis.call('HMGET', P .. 'orders:' .. batch_id, unpack(places))) do
    local name, lasts = order_name(order, symbols, lasting)
    local standing = learned[places[i]]
    local sort = lasts and strength(standing) >= NAMED and flat.gone or flat.sent
    sort[#sort + 1] = name
    sort[#sort + 1] = standing
  end
  for sort, pairs_of in pairs(flat) do
    if #pairs_of > 0 then
      local key = remembered(sort, account, now, 0)
      redis.call('HSET', key, unpack(pairs_of))
      redis.call('PEXPIRE', key, REMEMBERED_MS * 2)
    end
  end
end

local ORDINARY = '-'
local MODES = { read = '', single = '?', unknown = '!', listing = '*' }

local function settled(at)
  local id, batch_id, account, token = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local now, kept, well = ARGV[at + 4], ARGV[at + 7], ARGV[at + 8]
  local batch, chunk = P .. 'batch:' .. batch_id, P .. 'chunk:' .. id
  local outcomes, siblings = counted(at + 11, 2)
  local siblings_at, parts_at = counted(siblings, 2)
  local parts, usages = counted(parts_at, 4)
  local usages_at, behind = counted(usages, 4)
  if well ~= '' then -- the venue answers: no trial any more
    local strikes, trial, failures = unpack(redis.call('HMGET', well, 'strikes', 'trial', 'failures'))
    if strikes or trial or failures then redis.call('HDEL', well, 'strikes', 'trial', 'failures') end
  end
  local c = redis.call('HMGET', chunk, 'token', 'places', 'priority', 'deadline_ms', 'attempts', 'sweep', 'all',
    'permission', 'spent')
  local ours = c[1] == token and redis.call('ZSCORE', P .. 'flights:' .. account, id)
  local sent = tonumber(ARGV[at + 6])
  if ours and sent > 0 and c[9] then correct(c[9], math.max(0, sent - tonumber(c[8]))) end
  for i = usages_at, behind - 1, 4 do
    note_usage(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), sent)
  end
  if redis.call('EXISTS', batch) == 0 then
    drop(id, account)
    return 0, 0, behind
  end
  local told = siblings - 1
  if not ours and redis.call('HEXISTS', batch, 'select') == 1 then
    told = outcomes - 1 -- after a Redis that has lost its last second a place of a sweep may be another order's
  end
  local change, learned, known = {}, {}, {}
  for i = outcomes, told, 2 do
    known[#known + 1], known[#known + 2] = ARGV[i], ARGV[i + 1]
    learned[ARGV[i]] = ARGV[i + 1]
  end
  fold(batch_id, account, known, change)
  for i = siblings_at, parts_at - 1, 2 do
    local place = redis.call('HGET', P .. 'names:' .. batch_id, ARGV[i])
    if place then
      fold(batch_id, account, { place, ARGV[i + 1] }, change)
      learned[place] = ARGV[i + 1]
    end
  end
  if next(change) then write_counts(batch_id, change) end
  remember(batch_id, account, learned, tonumber(now))
  tell_followers(id, account, learned)
  if sent > 0 then
    local first, state = unpack(redis.call('HMGET', batch, 'first_call_ms', 'state'))
    if state ~= 'refused' and (not first or tonumber(first) > sent) then
      redis.call('HSET', batch, 'first_call_ms', text(sent))
    end
  end

  if not ours then return 0, 0, behind end
  if tonumber(now) > tonumber(redis.call('HGET', batch, 'settled_ms') or '0') then
    redis.call('HSET', batch, 'settled_ms', now)
  end
  -- Only now: a settlement may be repeated, and the call of a holder that lost its chunk was counted by who took it.
  if ARGV[at + 5] ~= '0' then redis.call('HINCRBY', batch, 'calls', ARGV[at + 5]) end
  if ARGV[at + 9] ~= '' then redis.call('HSET', batch, 'sweep:' .. account, ARGV[at + 9]) end
  if ARGV[at + 10] == '1' then redis.call('HINCRBY', batch, 'swept', 1) end
  land(id, account, now)
  if c[7] then redis.call('HDEL', chunk, 'all') end -- whatever goes on of it goes on by ids
  -- A sweep is one thing to be done, whatever it finds.
  local held, again, reused, cancels = c[6] and 1 or #split(c[2]), 0, false, 0
  for i = parts, usages - 1, 4 do
    if ARGV[i] == 'cancel' then cancels = cancels + 1 end
  end
  for i = parts, usages - 1, 4 do
    local step, places, ready, space = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local own = split(places)
    if space == ORDINARY then
      redis.call('HDEL', P .. 'spaces:' .. batch_id, unpack(own))
    elseif space ~= '' then
      local flat = {}
      for _, place in ipairs(own) do flat[#flat + 1], flat[#flat + 2] = place, space end
      redis.call('HSET', P .. 'spaces:' .. batch_id, unpack(flat))
      redis.call('EXPIRE', P .. 'spaces:' .. batch_id, redis.call('TTL', batch))
    end
    if step == 'sweep' then
      redis.call('HSET', chunk, 'empty_ms', places)
      redis.call('ZADD', P .. 'lane:' .. account .. ':' .. c[3], ready, id)
      again, reused = again + 1, true
    elseif step == 'cancel' then
      -- Halves of a chunk on which workers died are counted anew.
      local fields = cancels > 1 and { 'deaths', 0 } or {}
      to_lane(reused and new_part(batch_id) or id, batch_id, account, c[3], places, c[4], c[5], ready, fields)
      again, reused = again + #own, true
    else
      local flat = {}
      for _, place in ipairs(own) do flat[#flat + 1], flat[#flat + 2] = ready, place .. MODES[step] end
      redis.call('ZADD', proof_key(account, batch_id), unpack(flat))
      redis.call('EXPIRE', proof_key(account, batch_id), redis.call('TTL', batch))
      proof_lane(account, batch_id, c[3])
      again = again + #own
    end
  end
  if not reused then
    redis.call('DEL', chunk)
    redis.call('SREM', P .. 'chunks:' .. batch_id, id)
  end
  redis.call('HINCRBY', batch, 'left', again - held)
  local ended = finish(batch_id, now, kept)
  if ended == 0 and again < held then
    local json, orders = counts(batch_id)
    event(kept, 'type', 'batch.progress', 'batch_id', batch_id, 'account', account, 'at_ms', now,
      'orders', orders, 'counts', json)
  end
  return 1, ended, behind
end

-- Settle as many chunks as ARGV[at] says.  Gives what settled() gives of each, and the index behind the last argument.
local function settled_all(at)
  local answers, behind = {}, at + 1
  for _ = 1, tonumber(ARGV[at]) do
    local held, ended
    held, ended, behind = settled(behind)
    answers[#answers + 1], answers[#answers + 2] = held, ended
  end
  return answers, behind
end
