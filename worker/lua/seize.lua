-- Take one chunk out of its lane, or out of the hands of a worker that is gone, so that it can be settled.
-- KEYS  1 prefix
-- ARGV  1 chunk id   2 now, ms   3 holder ('worker#number')   4 longest time a call may take, ms   5 account
--       6 longest time to settle what was seized, ms   7 for how long a sign of life counts, ms
-- Gives {} if the chunk is settled, has time left in its lane or is in the hands of a living worker, else:
--   {account, and what a claim of grants() has}
--   kind 'idle': it waited in its lane; kind 'sweep': it is a sweep; else what its last holder had claimed it for
--   deaths: how many workers have died with it in hands
even_if_full()
local id, now = ARGV[1], tonumber(ARGV[2])
local chunk = P .. 'chunk:' .. id
local c = redis.call('HMGET', chunk, 'batch', 'places', 'deadline_ms', 'attempts', 'account', 'priority', 'holder',
  'kind', 'deaths', 'permission', 'sweep', 'seized')
if not c[1] or redis.call('EXISTS', P .. 'batch:' .. c[1]) == 0 then
  if ARGV[5] ~= '' or c[5] then drop(id, c[5] or ARGV[5]) end
  return {}
end
local flights, lane = P .. 'flights:' .. c[5], P .. 'lane:' .. c[5] .. ':' .. c[6]
local kind, deaths = 'idle', tonumber(c[9] or '0')
if redis.call('ZSCORE', lane, id) then
  if tonumber(c[3]) > now then return {} end -- it came back while we looked, and may still be sent
  redis.call('ZREM', lane, id)
else
  local since = tonumber(redis.call('ZSCORE', flights, id) or '0')
  -- A permission is a sign of life as a heartbeat is: who was stopped and goes on may claim, and send, before its heart beats.
  local alive = since + tonumber(ARGV[7]) > now
    or c[7] and redis.call('EXISTS', P .. 'worker:' .. string.match(c[7], '^[^#]*')) == 1
  -- Whoever has seized it sends nothing: nobody waits for that as long as for a call, and it does not count as a death.
  if since == 0 or (alive and since + tonumber(ARGV[c[12] and 6 or 4]) > now) then return {} end
  kind = c[8]
  if not alive and not c[12] then deaths = redis.call('HINCRBY', chunk, 'deaths', 1) end
end
if c[11] then kind = 'sweep' end
local taken = take(id, kind, c[5], ARGV[3], now, tonumber(c[10] or '0'))
redis.call('HSET', chunk, 'seized', '1')
if kind == 'query' then taken[10] = '1' end -- which query it was does not matter any more
local places = split(c[2])
if #places > 0 then
  local orders = redis.call('HMGET', P .. 'orders:' .. c[1], unpack(places))
  local standings = redis.call('HMGET', P .. 'outcomes:' .. c[1], unpack(places))
  local spaces = spaces_of(c[1], places)
  local held = {}
  if kind == 'idle' then
    local names, others = look_around(c[5], id, c[1], places, orders, standings, now)
    held = others
    follow(id, c[1], held)
    doubt(c[5], names, places, held, now)
  end
  for i, place in ipairs(places) do
    add_order(taken, place, orders[i], standings[i], held[place] and ELSEWHERE or spaces[i])
  end
end
table.insert(taken, 1, c[5])
return taken
