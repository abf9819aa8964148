-- Take the most urgent chunk of an account, with the permission to send one call for it now.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms   3 holder (worker id)   4 max calls in flight
--       5 number of limits, then for each: key, units in the window, window in ms, units of this call
-- Gives {'idle', ms when the next chunk may be tried, or -1}
--       {'paused', until ms}                         the whole account waits
--       {'full'}                                     as many calls in flight as are allowed (for that priority)
--       {'wait', ms}                                 a limit allows the next call at that time
--       {kind, id, batch, token, attempt, deadline ms, chunks ready behind it, place, order, place, order, …}
--         kind 'send': call the venue now; the attempt is noted and its permission taken
--         kind 'late': its deadline has come; nothing is to be sent
--         kind 'moot': each of its orders is known to be gone; nothing is to be sent
local account, now, holder = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local account_key, flights = P .. 'account:' .. account, P .. 'flights:' .. account
local paused = tonumber(redis.call('HGET', account_key, 'paused_until_ms') or '0')
if paused > now then return { 'paused', paused } end
local in_flight, most = redis.call('ZCARD', flights), tonumber(ARGV[4])
if in_flight >= most then return { 'full' } end

-- A clean-up leaves three tenths of the places free, so that a kill starts at once.
local places_of = { kill = most, risk = most, cleanup = math.max(1, math.floor(most * 0.7)) }
-- The most urgent chunk that may be tried; else when one may be, or that the places for those that may are taken.
local function find()
  local id, lane, ready, next_ms, full = nil, nil, 0, -1, false
  for _, priority in ipairs({ 'kill', 'risk', 'cleanup' }) do
    local key = P .. 'lane:' .. account .. ':' .. priority
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[1] then
      local at = tonumber(first[2])
      if at <= now then
        ready = ready + redis.call('ZCOUNT', key, '-inf', now)
        if in_flight >= places_of[priority] then
          full = true
        elseif not id then
          id, lane = first[1], key
        end
      elseif next_ms < 0 or at < next_ms then
        next_ms = at
      end
    end
  end
  return id, lane, ready, next_ms, full
end

local id, lane, ready, next_ms, full, chunk, c
repeat -- what belongs to a batch that is forgotten is dropped on the way
  id, lane, ready, next_ms, full = find()
  if not id then return full and { 'full' } or { 'idle', next_ms } end
  chunk = P .. 'chunk:' .. id
  c = redis.call('HMGET', chunk, 'batch', 'places', 'deadline_ms', 'attempts')
  local known = c[1] and redis.call('EXISTS', P .. 'batch:' .. c[1]) == 1
  if not known then drop(id, account) end
until known
local batch, deadline = P .. 'batch:' .. c[1], tonumber(c[3])
local places = {}
for place in string.gmatch(c[2], '%d+') do places[#places + 1] = place end
local standings = redis.call('HMGET', P .. 'outcomes:' .. c[1], unpack(places))
local live = {}
for i, place in ipairs(places) do
  if not standings[i] or tonumber(string.sub(standings[i], 1, 2)) < 90 then live[#live + 1] = place end
end
local kind = 'send'
if #live == 0 then
  kind = 'moot'
elseif deadline <= now then
  kind = 'late'
end

if kind == 'send' then
  local at = now
  for i = 6, 6 + (tonumber(ARGV[5]) - 1) * 4, 4 do
    local units, window, cost = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local oldest = redis.call('LINDEX', ARGV[i], units - cost)
    if oldest and tonumber(oldest) + window > at then at = tonumber(oldest) + window end
  end
  if at > now then return { 'wait', at } end
  for i = 6, 6 + (tonumber(ARGV[5]) - 1) * 4, 4 do
    for _ = 1, tonumber(ARGV[i + 3]) do redis.call('LPUSH', ARGV[i], now) end
    redis.call('LTRIM', ARGV[i], 0, tonumber(ARGV[i + 1]) - 1)
    redis.call('PEXPIRE', ARGV[i], tonumber(ARGV[i + 2]) * 2)
  end
  if redis.call('HSETNX', batch, 'first_call_ms', now) == 1 then redis.call('HSET', batch, 'state', 'running') end
end

local token = redis.call('HINCRBY', account_key, 'token', 1)
local attempt = tonumber(c[4])
if kind == 'send' then attempt = redis.call('HINCRBY', chunk, 'attempts', 1) end
redis.call('ZREM', lane, id)
redis.call('ZADD', flights, now, id)
redis.call('HSET', chunk, 'holder', holder, 'token', token, 'kind', kind)
local answer = { kind, id, c[1], token, attempt, deadline, ready - 1 }
local chosen = kind == 'send' and live or places
local orders = redis.call('HMGET', P .. 'orders:' .. c[1], unpack(chosen))
for i, place in ipairs(chosen) do
  answer[#answer + 1] = place
  answer[#answer + 1] = orders[i]
end
return answer
