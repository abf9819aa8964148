-- Write one slice of a plan: orders, chunks and their places in the lanes; each slice exactly once.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 now, ms   3 slice number, from 0   4 '1' if it is the last slice   5 deadline, ms
--       6 expiry, s   7 priority   8 events kept   9 orders of the whole plan
--       10 number of orders, then for each: place, account, JSON, standing or '', name or ''
--       then number of chunks, then for each: number in the slice, account, places ('0,1,2')
-- Gives 1 if the slice was written, 0 if it had been written before (or the batch is not open for it).
local id, now, expiry, priority, kept = ARGV[1], ARGV[2], ARGV[6], ARGV[7], ARGV[8]
local batch = P .. 'batch:' .. id
local b = redis.call('HMGET', batch, 'slices', 'state', 'planned')
local slice = tonumber(b[1] or '0')
if slice ~= tonumber(ARGV[3]) or b[3] or (b[2] ~= 'accepted' and b[2] ~= 'running') then
  return 0
end
if slice == 0 then
  redis.call('HSET', batch, 'orders', ARGV[9], 'left', ARGV[9], 'deadline_ms', ARGV[5])
  redis.call('ZADD', P .. 'deadlines', ARGV[5], id)
end
redis.call('HSET', batch, 'slices', slice + 1)
local at, change, invalid = 11, {}, {}
for _ = 1, tonumber(ARGV[10]) do
  local place, account, order, standing, name = unpack(ARGV, at, at + 4)
  redis.call('HSET', P .. 'orders:' .. id, place, order)
  change['a:' .. account .. ':orders'] = (change['a:' .. account .. ':orders'] or 0) + 1
  if standing ~= '' then
    invalid[account] = invalid[account] or {}
    table.insert(invalid[account], place)
    table.insert(invalid[account], standing)
    redis.call('HINCRBY', batch, 'left', -1)
  end
  if name ~= '' then redis.call('HSET', P .. 'names:' .. id, name, place) end
  at = at + 5
end
for account, known in pairs(invalid) do fold(id, account, known, change) end
write_counts(id, change)
local chunks = tonumber(ARGV[at])
at = at + 1
for _ = 1, chunks do
  local chunk_id, account = id .. '/' .. slice .. '.' .. ARGV[at], ARGV[at + 1]
  redis.call('HSET', P .. 'chunk:' .. chunk_id, 'batch', id, 'account', account, 'priority', priority,
    'places', ARGV[at + 2], 'deadline_ms', ARGV[5], 'attempts', 0)
  redis.call('EXPIRE', P .. 'chunk:' .. chunk_id, expiry)
  redis.call('ZADD', P .. 'lane:' .. account .. ':' .. priority, now, chunk_id)
  redis.call('SADD', P .. 'chunks:' .. id, chunk_id)
  redis.call('SADD', P .. 'accounts', account)
  at = at + 3
end
for _, part in ipairs({ 'orders:', 'outcomes:', 'names:', 'chunks:' }) do
  redis.call('EXPIRE', P .. part .. id, expiry)
end
if ARGV[4] == '1' then
  redis.call('HSET', batch, 'planned', 1)
  finish(id, now, kept)
end
return 1
