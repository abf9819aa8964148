-- What several scripts share; put in front of each of them.  KEYS[1] is always the prefix of all keys.
local P = KEYS[1]
local STATUS = '^%d+|%d+|([a-z_]+)|'

local function event(kept, ...)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', kept, '*', ...)
end

-- Drop a chunk whose batch is forgotten (or that is itself) from everywhere.
local function drop(id, account)
  for _, priority in ipairs({ 'kill', 'risk', 'cleanup' }) do
    redis.call('ZREM', P .. 'lane:' .. account .. ':' .. priority, id)
  end
  redis.call('ZREM', P .. 'flights:' .. account, id)
  redis.call('DEL', P .. 'chunk:' .. id)
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

-- True if standing a (text) is stronger than b: by strength, then time, then the rest.
local function stronger(a, b)
  local strength_a, strength_b = tonumber(string.sub(a, 1, 2)), tonumber(string.sub(b, 1, 2))
  if strength_a ~= strength_b then return strength_a > strength_b end
  local at_a, at_b = tonumber(string.sub(a, 4, 18)), tonumber(string.sub(b, 4, 18))
  if at_a ~= at_b then return at_a > at_b end
  return a > b
end

-- Fold a standing into an order's outcome; the change of the counts is gathered in *change*.
local function fold(id, account, place, standing, change)
  local outcomes = P .. 'outcomes:' .. id
  local old = redis.call('HGET', outcomes, place)
  if old and not stronger(standing, old) then return end
  redis.call('HSET', outcomes, place, standing)
  local function count(status, by)
    for _, name in ipairs({ 'n:' .. status, 'a:' .. account .. ':' .. status }) do
      change[name] = (change[name] or 0) + by
    end
  end
  if old then count(string.match(old, STATUS), -1) end
  count(string.match(standing, STATUS), 1)
end

-- Write what fold gathered.
local function write_counts(id, change)
  for name, by in pairs(change) do
    if by ~= 0 then redis.call('HINCRBY', P .. 'batch:' .. id, name, by) end
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
  redis.call('DEL', P .. 'names:' .. id, P .. 'chunks:' .. id)
  local json, orders = counts(id)
  event(kept, 'type', 'batch.done', 'batch_id', id, 'at_ms', now, 'orders', orders, 'counts', json)
  return 1
end
