-- Write what one attempt at a chunk taught, and hand the chunk on: ended, or back to its lane whole or in parts.
-- KEYS  1 prefix
-- ARGV  1 chunk id   2 batch id   3 account   4 token   5 now, ms   6 calls made (0 or 1)   7 events kept
--       8 number of outcomes, then for each: place, standing
--       then number of siblings, then for each: name ('["account","kind","id","symbol"]'), standing
--       then number of parts to try again, then for each: places ('0,1'), ms from which it may be tried
-- Gives {1 if the token was the newest (else the outcomes count, but the chunk is another's), 1 if the batch ended}
-- Orders of the chunk that are in no part are settled.
local id, batch_id, account, token, now, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[7]
local batch, chunk = P .. 'batch:' .. batch_id, P .. 'chunk:' .. id
if redis.call('EXISTS', batch) == 0 then
  drop(id, account)
  return { 0, 0 }
end
local at, change = 9, {}
for _ = 1, tonumber(ARGV[8]) do
  fold(batch_id, account, ARGV[at], ARGV[at + 1], change)
  at = at + 2
end
local siblings = tonumber(ARGV[at])
at = at + 1
for _ = 1, siblings do
  local place = redis.call('HGET', P .. 'names:' .. batch_id, ARGV[at])
  if place then fold(batch_id, account, place, ARGV[at + 1], change) end
  at = at + 2
end
write_counts(batch_id, change)
if redis.call('TTL', P .. 'outcomes:' .. batch_id) < 0 then -- it came into being just now
  redis.call('EXPIRE', P .. 'outcomes:' .. batch_id, redis.call('TTL', batch))
end

local c = redis.call('HMGET', chunk, 'token', 'places', 'priority', 'deadline_ms', 'attempts')
if c[1] ~= token or redis.call('ZREM', P .. 'flights:' .. account, id) == 0 then return { 0, 0 } end
if tonumber(now) > tonumber(redis.call('HGET', batch, 'settled_ms') or '0') then
  redis.call('HSET', batch, 'settled_ms', now)
end
if ARGV[6] ~= '0' then redis.call('HINCRBY', batch, 'calls', ARGV[6]) end
local _, held = string.gsub(c[2], '%d+', '')
local lane = P .. 'lane:' .. account .. ':' .. c[3]
local parts, again = tonumber(ARGV[at]), 0
at = at + 1
for part = 1, parts do
  local part_id = id
  if part > 1 then
    -- A name of its own kind: the numbers of the plan may not all be written yet.
    part_id = batch_id .. '/p' .. redis.call('HINCRBY', batch, 'parts', 1)
    redis.call('SADD', P .. 'chunks:' .. batch_id, part_id)
  end
  redis.call('HSET', P .. 'chunk:' .. part_id, 'batch', batch_id, 'account', account, 'priority', c[3],
    'places', ARGV[at], 'deadline_ms', c[4], 'attempts', c[5])
  redis.call('EXPIRE', P .. 'chunk:' .. part_id, redis.call('TTL', batch))
  redis.call('ZADD', lane, ARGV[at + 1], part_id)
  local _, n = string.gsub(ARGV[at], '%d+', '')
  again = again + n
  at = at + 2
end
if parts == 0 then
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
return { 1, ended }
