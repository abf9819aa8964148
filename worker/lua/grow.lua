-- Add orders that a sweep has found to its batch, each once.
-- KEYS  1 prefix
-- ARGV  1 chunk id of the sweep   2 batch id   3 account   4 token   5 now, ms   6 most orders of the batch, or 0
--       7 number of chunks, then for each: number of the cancel-all that takes it, from 0, or '' if it is canceled by
--       ids, namespace or '', number of its orders, then for each: JSON
-- Gives the number of orders added; -1 if there would be too many, and then none is added.
even_if_full()
local id, batch_id, account, token, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local batch, names = P .. 'batch:' .. batch_id, P .. 'names:' .. batch_id
local c = redis.call('HMGET', P .. 'chunk:' .. id, 'token', 'priority', 'deadline_ms')
if c[1] ~= token or redis.call('EXISTS', batch) == 0 then return 0 end
local at, fresh, total = 8, {}, 0
for _ = 1, tonumber(ARGV[7]) do
  local all, space, number, found = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), {}
  for i = at + 3, at + 2 + number do
    if redis.call('HEXISTS', names, ARGV[i]) == 0 then found[#found + 1] = ARGV[i] end
  end
  if #found > 0 then fresh[#fresh + 1] = { all, space, found } end
  total = total + #found
  at = at + 3 + number
end
local known = tonumber(redis.call('HGET', batch, 'orders') or '0')
if tonumber(ARGV[6]) > 0 and known + total > tonumber(ARGV[6]) then return -1 end
if total == 0 then return 0 end
local place, ttl = known, redis.call('TTL', batch)
for _, each in ipairs(fresh) do
  local all, space, found = unpack(each)
  local places, orders, named, spaces = {}, {}, {}, {}
  for _, order in ipairs(found) do
    places[#places + 1] = place
    orders[#orders + 1], orders[#orders + 2] = place, order
    named[#named + 1], named[#named + 2] = order, place
    spaces[#spaces + 1], spaces[#spaces + 2] = place, space
    place = place + 1
  end
  redis.call('HSET', P .. 'orders:' .. batch_id, unpack(orders))
  redis.call('HSET', names, unpack(named))
  if space ~= '' then redis.call('HSET', P .. 'spaces:' .. batch_id, unpack(spaces)) end
  local fields = all ~= '' and { 'all', all } or {}
  to_lane(new_part(batch_id), batch_id, account, c[2], table.concat(places, ','), c[3], 0, now, fields)
end
redis.call('HINCRBY', batch, 'orders', total)
redis.call('HINCRBY', batch, 'left', total)
redis.call('HINCRBY', batch, 'a:' .. account .. ':orders', total)
for _, part in ipairs({ 'orders:', 'names:', 'spaces:', 'chunks:' }) do
  redis.call('EXPIRE', P .. part .. batch_id, ttl)
end
return total
