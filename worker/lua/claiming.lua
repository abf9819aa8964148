-- How work is claimed; shared by the scripts `claim`, `turn` and `permit`.
-- grants(at) takes the most urgent work of an account, each with the permission to send one call for it now.
-- ARGV from at:  1 account   2 now, ms   3 holder ('worker#number')   4 most to take   5 max calls in flight
--                6 share of a clean-up, thousandths   7 number of pauses, then for each: key
--                then number of limits, then for each: key, units in the window, window in ms, units of a cancel, and
--                how much later than its permission the call may leave as far as this limit goes, in ms
--                then number of cancel-alls, then for each: number of its limits, then for each: the same of this call
--                then number of queries, then for each: id kinds ('order_id,'), namespace or '', most orders,
--                from how many orders on a listing goes first (0: never), the same for orders of one symbol,
--                number of its limits, then for each: the same of this query
-- Gives {why, ms, claim, claim, …}: why and until when nothing more can be claimed than these claims
--   'idle'    nothing more is ready; the next at ms, or -1
--   'paused'  the account, or all behind its IP or key, waits until ms
--   'full'    as many calls in flight as are allowed (for that priority); after a failure, worth a look at ms
--   'limit'   a limit allows the next call at ms
--   'more'    as many as were asked for
-- A claim is {kind, id, batch, token, attempt, deadline ms, permission ms, deaths, prove, more, and for each order
-- its place, order, standing or '', namespace, '!', '~' or ''}.
--   kind 'send': cancel now; the attempt is noted and its permission taken; more: by which of the venue's cancel-alls,
--                from 0, or '' if by ids
--   kind 'query': ask now how these orders stand; the permission is taken; more: which query, from 0
--   kind 'list': look whether these orders are in a listing ('!': the venue does not know them by themselves); more:
--                'open' if they can be asked for, and it is only to show which are still open
--   kind 'sweep': list what is open, and cancel what matches; more: when it was first seen empty
--   kind 'late': its deadline has come; nothing is to be sent ('~': another batch has sent a cancel of it)
--   kind 'moot': each of its orders is known to be gone; nothing is to be sent
local ELSEWHERE = '~'
local TRIAL_MS = 25 -- how soon those who wait for another's trial look again
local PARKED_MS = 15000 -- a chunk that waits for another's answer looks again after so long by itself
local LOOKED_AT = 300 -- orders that are looked at to fill one query
local LISTED = 1000 -- orders that are looked up in one listing
local LISTING_MS = 200 -- how soon those look again that wait for the end of another listing of their batch

-- Windows of limits: when a call is allowed, and taking the permission for it.
local function read_limits(at)
  local limits, first, behind = {}, counted(at, 5)
  for i = first, behind - 1, 5 do
    limits[#limits + 1] = { ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]) }
  end
  return limits, behind
end

-- A clean-up leaves a share of the places and of every window free, so that a kill starts at once.
local function part_of(whole, priority, share)
  return priority == 'cleanup' and math.max(1, math.floor(whole * share / 1000)) or whole
end

-- Until when something more urgent waits for one of these windows (*awaited*, by their keys); 0 if nothing does.
local function awaited_until(limits, awaited)
  local when = 0
  for _, limit in ipairs(limits) do when = math.max(when, awaited[limit[1]] or 0) end
  return when
end

-- When the limits allow a call; a window that is awaited is left to what is more urgent.
local function allowed_at(limits, priority, share, awaited, now)
  local when = math.max(now, awaited_until(limits, awaited))
  for _, limit in ipairs(limits) do
    local units = limit[2]
    if priority == 'cleanup' then -- what it leaves is one call at least, and it gets one itself
      units = math.max(math.min(part_of(units, priority, share), units - limit[4]), limit[4])
    end
    local oldest = redis.call('LINDEX', limit[1], units - limit[4])
    if oldest and tonumber(oldest) + limit[3] > when then when = tonumber(oldest) + limit[3] end
  end
  if when > now then
    for _, limit in ipairs(limits) do awaited[limit[1]] = when end
  end
  return when
end

-- Takes one permission: in each window it is written down for the latest time at which its call may leave, until it is
-- settled when it left.  Never before what is written: clocks of workers disagree, and the list is sorted.
-- Gives what it was taken of: 'key units latest slack' in lines.
local function permit(limits, now)
  local spent = {}
  for _, limit in ipairs(limits) do
    local latest, newest = now + limit[5], redis.call('LINDEX', limit[1], 0)
    if newest and tonumber(newest) > latest then latest = tonumber(newest) end
    for _ = 1, limit[4] do redis.call('LPUSH', limit[1], text(latest)) end
    redis.call('LTRIM', limit[1], 0, 2 * limit[2] - 1) -- more than can be in a window: note_usage() looks back
    redis.call('PEXPIRE', limit[1], limit[3] * 2 + latest - now)
    spent[#spent + 1] = table.concat({ limit[1], limit[4], text(latest), limit[5] }, ' ')
  end
  return table.concat(spent, '\n')
end

-- Until when the longest of the pauses lasts, whether one is to end with a trial, and the index behind them.
local function read_pauses(at)
  local first, behind = counted(at, 1)
  local paused, trial = 0, false
  for i = first, behind - 1 do
    local p = redis.call('HMGET', ARGV[i], 'until_ms', 'trial')
    if p[1] and tonumber(p[1]) > paused then paused = tonumber(p[1]) end
    if p[2] then trial = true end
  end
  return paused, trial, behind
end

local function read_cancel_alls(at)
  local found, number = {}, tonumber(ARGV[at])
  at = at + 1
  for _ = 1, number do found[#found + 1], at = read_limits(at) end
  return found, at
end

local function read_queries(at)
  local queries, number = {}, tonumber(ARGV[at])
  at = at + 1
  for _ = 1, number do
    local limits, behind = read_limits(at + 5)
    queries[#queries + 1] = { number = text(#queries), kinds = ARGV[at], namespace = ARGV[at + 1], most = tonumber(ARGV[at + 2]),
      lists_from = tonumber(ARGV[at + 3]), lists_symbol_from = tonumber(ARGV[at + 4]), limits = limits }
    at = behind
  end
  return queries, at
end

-- Have the orders of a chunk told what comes of them in the hands of other chunks.
local function follow(id, batch_id, held)
  for place, holder in pairs(held) do
    local chunk, its_place = string.match(holder, '^(%S+) (%S+)$')
    local key = P .. 'followers:' .. chunk
    redis.call('RPUSH', key, its_place .. ' ' .. batch_id .. ' ' .. place .. ' ' .. id)
    redis.call('EXPIRE', key, 3600)
  end
end

-- Let a chunk wait whose orders are in another's hands.
local function park(id, lane, batch_id, held, now)
  follow(id, batch_id, held)
  redis.call('ZADD', lane, now + PARKED_MS, id)
end

-- Put a chunk into a holder's hands; *spent* is what its permission was taken of.
local function take(id, kind, account, holder, now, permission, spent)
  local chunk, token = P .. 'chunk:' .. id, next_token(account)
  redis.call('HDEL', chunk, 'seized')
  redis.call('ZADD', P .. 'flights:' .. account, now, id)
  redis.call('HSET', chunk, 'holder', holder, 'token', token, 'kind', kind, 'permission', text(permission),
    'spent', spent or '')
  local c = redis.call('HMGET', chunk, 'batch', 'attempts', 'deadline_ms', 'deaths', 'empty_ms', 'all')
  local prove = redis.call('HGET', P .. 'batch:' .. c[1], 'prove') or '0'
  return { kind, id, c[1], token, tonumber(c[2]), tonumber(c[3]), permission, tonumber(c[4] or '0'), prove, c[6] or c[5] or '' }
end

local function add_order(taken, place, order, standing, space)
  taken[#taken + 1], taken[#taken + 2], taken[#taken + 3], taken[#taken + 4] = place, order, standing or '', space or ''
end

local function spaces_of(batch_id, places)
  local key = P .. 'spaces:' .. batch_id
  return redis.call('EXISTS', key) == 1 and redis.call('HMGET', key, unpack(places)) or {}
end

local function is_gone(standing)
  return standing and strength(standing) >= GONE
end

-- Go through what is remembered of a sort of orders, by their names: each(index, standing).
local function recall(sort, account, names, now, each)
  for ago = 0, 1 do
    local key = remembered(sort, account, now, ago)
    if redis.call('EXISTS', key) == 1 then
      for i, standing in ipairs(redis.call('HMGET', key, unpack(names))) do
        if standing then each(i, standing) end
      end
    end
  end
end

-- What other batches have to do with the orders of a chunk: what they know of them is known here too (standings is
-- changed).  Gives the orders' names, and of those in the hands of other chunks whose they are, by place.
local function look_around(account, id, batch_id, places, orders, standings, now)
  local symbols, lasting_kinds = naming(account)
  local names, lasting, known, held = {}, {}, {}, {}
  for i, order in ipairs(orders) do names[i], lasting[i] = order_name(order, symbols, lasting_kinds) end
  recall('gone', account, names, now, function(i, standing)
    if lasting[i] and not is_gone(standings[i]) then
      known[#known + 1], known[#known + 2] = places[i], standing
      standings[i] = standing
    end
  end)
  if #known > 0 then
    local change = {}
    fold(batch_id, account, known, change)
    write_counts(batch_id, change)
  end
  for i, holder in ipairs(redis.call('HMGET', P .. 'busy:' .. account, unpack(names))) do
    local other = holder and string.match(holder, '^(%S+) ')
    if other and other ~= id and not is_gone(standings[i])
      and redis.call('ZSCORE', P .. 'flights:' .. account, other) then
      held[places[i]] = holder
    end
  end
  return names, held
end

-- Mark (in held) also those orders that a cancel was sent of: whether they are gone is not known.
local function doubt(account, names, places, held, now)
  recall('sent', account, names, now, function(i, standing) held[places[i]] = held[places[i]] or standing end)
end

local function set_running(batch_id)
  local batch = P .. 'batch:' .. batch_id
  if redis.call('HGET', batch, 'state') == 'accepted' then redis.call('HSET', batch, 'state', 'running') end
end

-- Claim a chunk of cancels.  Gives a claim; or nil and, where a limit is in the way, when it allows the call.
local function claim_cancels(a, id, lane, priority, now)
  local chunk, account = P .. 'chunk:' .. id, a.account
  local c = redis.call('HMGET', chunk, 'batch', 'places', 'deadline_ms', 'attempts', 'sweep', 'all')
  if not c[1] or redis.call('EXISTS', P .. 'batch:' .. c[1]) == 0 then
    drop(id, account) -- what belongs to a batch that is forgotten is dropped on the way
    return nil
  end
  local batch_id, deadline, places, all = c[1], tonumber(c[3]), split(c[2]), c[6]
  if c[5] then
    redis.call('ZREM', lane, id)
    set_running(batch_id)
    return take(id, deadline <= now and 'late' or 'sweep', account, a.holder, now, now)
  end
  local orders = redis.call('HMGET', P .. 'orders:' .. batch_id, unpack(places))
  local standings = redis.call('HMGET', P .. 'outcomes:' .. batch_id, unpack(places))
  local names, held = look_around(account, id, batch_id, places, orders, standings, now)
  local any_held, live, free = next(held) ~= nil, 0, {}
  for i, place in ipairs(places) do
    if not is_gone(standings[i]) then
      live = live + 1
      if all or not held[place] then free[#free + 1] = i end
    end
  end
  local kind = live == 0 and 'moot' or deadline <= now and 'late' or 'send'
  local spent
  if kind == 'send' then
    if #free == 0 then
      park(id, lane, batch_id, held, now)
      return nil
    end
    local limits = all and a.cancel_alls[tonumber(all) + 1] or a.limits
    local when = allowed_at(limits, priority, a.share, a.awaited, now)
    if when > now then return nil, when end
    if any_held and not all then -- those that another has in hands wait apart
      local mine, others = {}, {}
      for _, place in ipairs(places) do
        if held[place] then others[#others + 1] = place else mine[#mine + 1] = place end
      end
      local part = new_part(batch_id)
      to_lane(part, batch_id, account, priority, table.concat(others, ','), c[3], c[4], now)
      park(part, lane, batch_id, held, now)
      redis.call('HSET', chunk, 'places', table.concat(mine, ','))
    end
    spent = permit(limits, now)
    set_running(batch_id)
    redis.call('HINCRBY', chunk, 'attempts', 1)
  end
  redis.call('ZREM', lane, id)
  local taken = take(id, kind, account, a.holder, now, now, spent)
  local spaces = spaces_of(batch_id, places)
  if kind ~= 'send' then
    follow(id, batch_id, held)
    doubt(account, names, places, held, now)
    for i, place in ipairs(places) do
      add_order(taken, place, orders[i], standings[i], held[place] and ELSEWHERE or spaces[i])
    end
    return taken
  end
  local marks, mine = {}, {}
  for _, i in ipairs(free) do
    add_order(taken, places[i], orders[i], standings[i], spaces[i])
    if not held[places[i]] then -- a cancel-all takes also what another has in hands
      mine[#mine + 1] = names[i]
      marks[#marks + 1] = names[i]
      marks[#marks + 1] = id .. ' ' .. places[i]
    end
  end
  if #mine > 0 then
    redis.call('HSET', P .. 'busy:' .. account, unpack(marks))
    redis.call('HSET', chunk, 'marks', table.concat(mine, '\n'))
  end
  return taken
end

-- The first query that can ask for an order; one at a time if *single*.
local function query_for(queries, kind, space, single)
  for _, query in ipairs(queries) do
    if query.namespace == space and string.find(',' .. query.kinds, ',' .. kind .. ',', 1, true) and (query.most == 1 or not single) then
      return query
    end
  end
  return nil
end

-- Let those wait that are to be looked up in a listing while another one of their batch is under way: it began too early
-- for them, and the next one is for all.  Gives whether they do.
local function wait_for_listing(account, batch_id, waiting, members, now)
  local other = redis.call('HGET', P .. 'batch:' .. batch_id, 'listing:' .. account)
  if not other or not redis.call('ZSCORE', P .. 'flights:' .. account, other) then return false end
  if redis.call('HGET', P .. 'chunk:' .. other, 'kind') ~= 'list' then return false end
  local later = {}
  for _, member in ipairs(members) do later[#later + 1], later[#later + 2] = now + LISTING_MS, member end
  redis.call('ZADD', waiting, unpack(later))
  return true
end

-- Claim orders of a batch whose standing is to be read: as many as one query can ask for, or all for one listing.  Where
-- they can be asked for one by one alone, and are many, a listing goes first that shows which are still open.
-- Gives a claim; or nil and, where a limit is in the way, when it allows the call.
local function claim_proof(a, batch_id, lane, priority, now)
  local account = a.account
  local waiting = proof_key(account, batch_id)
  local batch = P .. 'batch:' .. batch_id
  local b = redis.call('HMGET', batch, 'deadline_ms', 'state')
  local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, LOOKED_AT)
  if not b[1] or b[2] == 'done' or #due == 0 or tonumber(b[1]) <= now then
    -- Forgotten, or past its deadline: then the watch ends it.
    if not b[1] then redis.call('DEL', waiting) end
    if #due == 0 and b[1] and tonumber(b[1]) > now then
      proof_lane(account, batch_id, priority)
    else
      redis.call('ZREM', lane, batch_id)
    end
    return nil
  end
  local places = {}
  for i, member in ipairs(due) do places[i] = string.match(member, '^%d+') end
  local orders = redis.call('HMGET', P .. 'orders:' .. batch_id, unpack(places))
  local standings = redis.call('HMGET', P .. 'outcomes:' .. batch_id, unpack(places))
  local spaces = spaces_of(batch_id, places)
  local chosen, group, query, gone, listed, more = {}, nil, nil, {}, false, nil
  local many, alike = {}, {} -- those of which a listing may show that they are open: all, and those of one group
  for i, member in ipairs(due) do
    local mode = string.match(member, '^%d+(.?)$')
    local kind = string.match(orders[i] or '', '^%["[^"]*","([a-z_]+)"') or ''
    if string.find(standings[i] or '', '"order_id":"', 1, true) and kind == 'client_order_id' then kind = 'order_id' end
    local symbol = a.symbols == '1' and string.match(orders[i] or '', ',([^,]*)%]$') or ''
    local space = spaces[i] or ''
    local its_query = (mode == '' or mode == '?') and query_for(a.queries, kind, space, mode == '?') or nil
    local its_group = its_query and table.concat({ mode, kind, symbol, space }, '|') or 'list'
    local can_be_listed = mode == '' and its_query and its_query.most == 1 and string.find(',' .. a.lasting, ',' .. kind .. ',', 1, true)
    if can_be_listed and not is_gone(standings[i]) then
      many[#many + 1] = i
      if not group or its_group == group then alike[#alike + 1] = i end
    end
    if is_gone(standings[i]) then
      gone[#gone + 1] = i
    elseif not group then
      group, query, chosen = its_group, its_query, { i }
      listed = its_query == nil
    elseif its_group == group and #chosen < (query and query.most or LISTED) then
      chosen[#chosen + 1] = i
    end
  end
  local kind, spent = 'moot', nil
  if #gone == 0 and #alike > 0 and alike[1] == chosen[1] then
    local of_symbol = a.symbols == '1' and query.lists_symbol_from > 0 and #alike >= query.lists_symbol_from
    if of_symbol or (query.lists_from > 0 and #many >= query.lists_from) then
      chosen, listed, more = of_symbol and alike or many, true, 'open'
    end
  end
  if #gone > 0 then
    chosen = gone
  elseif listed then
    kind = 'list'
    local members = {}
    for _, i in ipairs(chosen) do members[#members + 1] = due[i] end
    if wait_for_listing(account, batch_id, waiting, members, now) then
      proof_lane(account, batch_id, priority)
      return nil
    end
  else
    local when = allowed_at(query.limits, priority, a.share, a.awaited, now)
    if when > now then return nil, when end
    kind, spent = 'query', permit(query.limits, now)
  end
  local id, own, members, attempts = new_part(batch_id), {}, {}, 0
  for _, i in ipairs(chosen) do
    own[#own + 1], members[#members + 1] = places[i], due[i]
    attempts = math.max(attempts, tonumber(string.match(standings[i] or '', '"attempts":(%d+)') or '0'))
  end
  redis.call('ZREM', waiting, unpack(members))
  proof_lane(account, batch_id, priority)
  local chunk = P .. 'chunk:' .. id
  redis.call('HSET', chunk, 'batch', batch_id, 'account', account, 'priority', priority, 'places',
    table.concat(own, ','), 'deadline_ms', b[1], 'attempts', attempts) -- goes on where they are canceled again
  redis.call('EXPIRE', chunk, redis.call('TTL', batch))
  local taken = take(id, kind, account, a.holder, now, now, spent)
  if kind == 'query' then taken[10] = query.number end
  if kind == 'list' then
    redis.call('HSET', batch, 'listing:' .. account, id)
    taken[10] = more or ''
  end
  for _, i in ipairs(chosen) do
    local flag = string.match(due[i], '!$') or spaces[i]
    add_order(taken, places[i], orders[i], standings[i], flag)
  end
  return taken
end

-- Until when nothing of a lane can be called, as far as that is known without a look at what it holds.
local function closed_until(a, proof)
  if not proof then return awaited_until(a.limits, a.awaited) end
  local when
  for _, query in ipairs(a.queries) do
    local one = awaited_until(query.limits, a.awaited)
    if not when or one < when then when = one end
  end
  return when or 0
end

local function grants(at)
  local now, wanted, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local a = { account = ARGV[at], holder = ARGV[at + 2], share = tonumber(ARGV[at + 5]), awaited = {} }
  a.symbols, a.lasting = naming(a.account)
  local paused, trial, next_at = read_pauses(at + 6)
  if paused > now then return { 'paused', paused } end
  if trial then -- after a failure one call tells whether the others may follow
    most, wanted = 1, math.min(wanted, 1)
  end
  a.limits, next_at = read_limits(next_at)
  a.cancel_alls, next_at = read_cancel_alls(next_at)
  a.queries = read_queries(next_at)
  local flights = P .. 'flights:' .. a.account
  local answer, allowed_ms = { 'more', -1 }, {} -- of a lane whose next call a limit holds up, when it allows it
  while #answer - 2 < wanted do
    local in_flight, next_ms, full = redis.call('ZCARD', flights), -1, false
    local id, lane, priority, proof
    for _, each in ipairs(PRIORITIES) do
      for _, kind in ipairs({ '', '.proof' }) do
        local key = P .. 'lane:' .. a.account .. ':' .. each .. kind
        local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        if head[1] and not id then
          local ready = allowed_ms[key] or tonumber(head[2])
          if ready > now then
            if next_ms < 0 or ready < next_ms then next_ms = ready end
          elseif in_flight >= part_of(most, each, a.share) then
            full = true
          else
            id, lane, priority, proof = head[1], key, each, kind ~= ''
          end
        end
      end
    end
    if not id then
      local why = next(allowed_ms) and 'limit' or 'idle'
      answer[1], answer[2] = why, next_ms
      if full and why == 'idle' then answer[1], answer[2] = 'full', trial and now + TRIAL_MS or -1 end
      return answer
    end
    local claim, allowed = nil, closed_until(a, proof)
    if allowed <= now then claim, allowed = (proof and claim_proof or claim_cancels)(a, id, lane, priority, now) end
    if claim then
      answer[#answer + 1] = claim
    elseif allowed then
      allowed_ms[lane] = allowed -- what other limits count may go ahead
    end
  end
  return answer
end
