-- What several scripts share; put in front of each of them.  KEYS[1] is always the prefix of all keys.
local P = KEYS[1]
local STATUS = '^%d+|%d+|([a-z_]+)|'
local GONE = 90 -- at this strength and above an order is known to be gone
local NAMED = 91 -- … and named as such by the venue
local REMEMBERED_MS = 300000 -- for one to two times as long, what is known to be gone is known to later batches

local function event(kept, ...)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', kept, '*', ...)
end

-- Let this script write though Redis is full: a script that has written once may go on, and this writes nothing.
local function even_if_full()
  redis.call('DEL', P .. 'nothing')
end

-- A whole number as text: Lua would write 1.7e+12 for some.
local function text(number)
  return string.format('%.0f', number)
end

local function split(places)
  local found = {}
  for place in string.gmatch(places, '%d+') do found[#found + 1] = place end
  return found
end

-- The number of the arguments from *at* on that one reader takes, and where the next one goes on.
local function counted(at, size)
  local first = at + 1
  return first, first + tonumber(ARGV[at]) * size
end

local PRIORITIES = { 'kill', 'risk', 'cleanup' }

-- Drop a chunk whose batch is forgotten (or that is itself) from everywhere.
local function drop(id, account)
  for _, priority in ipairs(PRIORITIES) do
    redis.call('ZREM', P .. 'lane:' .. account .. ':' .. priority, id)
  end
  redis.call('ZREM', P .. 'flights:' .. account, id)
  redis.call('DEL', P .. 'chunk:' .. id, P .. 'followers:' .. id)
end

-- The counts of a batch as JSON, and its number of orders.
local function counts(id)
  local flat, found = redis.call('HGETALL', P .. 'batch:' .. id), {}
  local orders = '0'
  for i = 1, #flat, 2 do
    local status = string.match(flat[i], '^n:(.+)$')
    if status and flat[i + 1] ~= '0' then found[status] = tonumber(flat[i + 1]) end
    if flat[i] == 'orders' then orders = flat[i + 1] end
  end
  return next(found) and cjson.encode(found) or '{}', orders
end

-- True if text a comes after text b, by their bytes: Lua's own comparison goes by the locale.
local function after(a, b)
  for i = 1, math.min(#a, #b) do
    local byte_a, byte_b = string.byte(a, i), string.byte(b, i)
    if byte_a ~= byte_b then return byte_a > byte_b end
  end
  return #a > #b
end

local function strength(standing)
  return tonumber(string.sub(standing, 1, 2))
end

-- True if standing a (text) is stronger than b: by strength, then time, then the rest.
local function stronger(a, b)
  if strength(a) ~= strength(b) then return strength(a) > strength(b) end
  local at_a, at_b = tonumber(string.sub(a, 4, 18)), tonumber(string.sub(b, 4, 18))
  if at_a ~= at_b then return at_a > at_b end
  return after(a, b)
end

-- Fold standings (place, standing, place, standing, …) into orders' outcomes; the change of the counts is gathered in
-- *change*.
local function fold(id, account, known, change)
  if #known == 0 then return end
  local outcomes, places, better = P .. 'outcomes:' .. id, {}, {}
  for i = 1, #known, 2 do places[#places + 1] = known[i] end
  local old = redis.call('HMGET', outcomes, unpack(places))
  local function count(status, by)
    local all, own = 'n:' .. status, 'a:' .. account .. ':' .. status
    change[all], change[own] = (change[all] or 0) + by, (change[own] or 0) + by
  end
  local latest = {} -- a place may be named more than once
  for i, place in ipairs(places) do
    local standing, was = known[i * 2], latest[places[i]] or old[i]
    if not was or stronger(standing, was) then
      better[#better + 1] = place
      better[#better + 1] = standing
      latest[place] = standing
      if was then count(string.match(was, STATUS), -1) end
      count(string.match(standing, STATUS), 1)
    end
  end
  if #better > 0 then redis.call('HSET', outcomes, unpack(better)) end
end

-- Write what fold gathered.
local function write_counts(id, change)
  for name, by in pairs(change) do
    if by ~= 0 then redis.call('HINCRBY', P .. 'batch:' .. id, name, by) end
  end
  if redis.call('TTL', P .. 'outcomes:' .. id) < 0 then -- it came into being just now
    redis.call('EXPIRE', P .. 'outcomes:' .. id, redis.call('TTL', P .. 'batch:' .. id))
  end
end

-- End a batch whose every order is settled.  Gives 1 if it ended just now.
local function finish(id, now, kept)
  local batch = P .. 'batch:' .. id
  local b = redis.call('HMGET', batch, 'left', 'planned', 'state', 'settled_ms')
  if b[1] ~= '0' or not b[2] or b[3] == 'done' then return 0 end
  -- Settlements overtake each other: the last to come need not have the latest time.
  if b[4] and tonumber(b[4]) > tonumber(now) then now = b[4] end
  redis.call('HSET', batch, 'state', 'done', 'done_ms', now)
  redis.call('ZREM', P .. 'deadlines', id)
  redis.call('DEL', P .. 'names:' .. id, P .. 'chunks:' .. id, P .. 'spaces:' .. id)
  local json, orders = counts(id)
  event(kept, 'type', 'batch.done', 'batch_id', id, 'at_ms', now, 'orders', orders, 'counts', json)
  return 1
end

-- A number that grows with every claim of an account, also after a Redis that has lost its last second: by Redis' own
-- clock, in microseconds, as a command may have been under way since before the restart.
local function next_token(account)
  local key, now = P .. 'account:' .. account, redis.call('TIME')
  local token = text(math.max(tonumber(redis.call('HGET', key, 'token') or '0') + 1, now[1] * 1000000 + now[2]))
  redis.call('HSET', key, 'token', token)
  return token
end

-- How orders of an account are told apart: '1' if the symbol counts, and the id kinds that name one for ever.  As long
-- as no worker has said it, two that may be different are.
local function naming(account)
  local found = redis.call('HGET', P .. 'naming', account)
  return string.match(found or '1 ', '^(%d) (.*)$')
end

-- What an order of an account is called by every batch that names it alike: its kind and id, and its symbol only where
-- that tells orders apart.  Gives also whether the name means one order for ever.
local NAME, NAME_AND_SYMBOL = '^%["[^"]*",(.*),[^,]*%]$', '^%["[^"]*",(.*)%]$'
local function order_name(order, symbols, lasting)
  local name = order and string.match(order, symbols == '1' and NAME_AND_SYMBOL or NAME) or ''
  local kind = string.match(name, '^"([a-z_]+)"')
  return name, kind ~= nil and string.find(lasting, kind .. ',', 1, true) ~= nil
end

-- Where it is remembered what became of orders, by sort: what is 'gone', and of which a cancel was 'sent' that leaves
-- them in doubt.  Two buckets each, so that nothing is forgotten too early.
local function remembered(sort, account, now, ago)
  return P .. sort .. ':' .. account .. ':' .. text(math.floor(now / REMEMBERED_MS) - ago)
end

-- Put a chunk, or a part of one, into its lane.
local function to_lane(id, batch_id, account, priority, places, deadline, attempts, ready, fields)
  local chunk = P .. 'chunk:' .. id
  redis.call('HSET', chunk, 'batch', batch_id, 'account', account, 'priority', priority,
    'places', places, 'deadline_ms', deadline, 'attempts', attempts, unpack(fields or {}))
  redis.call('EXPIRE', chunk, redis.call('TTL', P .. 'batch:' .. batch_id))
  redis.call('ZADD', P .. 'lane:' .. account .. ':' .. priority, ready, id)
end

-- The id of a new part of a batch.  A name of its own kind: the numbers of the plan may not all be written yet.
local function new_part(batch_id)
  local id = batch_id .. '/p' .. redis.call('HINCRBY', P .. 'batch:' .. batch_id, 'parts', 1)
  redis.call('SADD', P .. 'chunks:' .. batch_id, id)
  return id
end

-- Where the orders of a batch wait whose standing is to be read: place and mode, by the time from which on.
-- Mode '': ask for several at once; '?': ask for it alone; '!': unknown to the venue, look in a listing; '*': it cannot
-- be asked for, look in a listing.
local function proof_key(account, batch_id)
  return P .. 'proof:' .. account .. ':' .. batch_id
end

-- Put a batch into its place among those of an account that have orders to be read, or out of there.
local function proof_lane(account, batch_id, priority)
  local lane = P .. 'lane:' .. account .. ':' .. priority .. '.proof'
  local head = redis.call('ZRANGE', proof_key(account, batch_id), 0, 0, 'WITHSCORES')
  if head[1] then redis.call('ZADD', lane, head[2], batch_id) else redis.call('ZREM', lane, batch_id) end
end

-- End the flight of a chunk: free the orders that it held, and wake the chunks that waited for it.
local function land(id, account, now)
  local chunk = P .. 'chunk:' .. id
  redis.call('ZREM', P .. 'flights:' .. account, id)
  local marks, names = redis.call('HGET', chunk, 'marks'), {}
  if marks then
    for name in string.gmatch(marks, '[^\n]+') do names[#names + 1] = name end
    redis.call('HDEL', P .. 'busy:' .. account, unpack(names))
    redis.call('HDEL', chunk, 'marks')
  end
  for _, follower in ipairs(redis.call('LRANGE', P .. 'followers:' .. id, 0, -1)) do
    local waiting = string.match(follower, '(%S+)$')
    local priority = redis.call('HGET', P .. 'chunk:' .. waiting, 'priority')
    local lane = priority and P .. 'lane:' .. account .. ':' .. priority
    if lane and redis.call('ZSCORE', lane, waiting) then redis.call('ZADD', lane, now, waiting) end
  end
  redis.call('DEL', P .. 'followers:' .. id)
end
