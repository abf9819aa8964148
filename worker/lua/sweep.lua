-- Write the plan of a sweep: one chunk for each account that is to be swept.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 now, ms   3 deadline, ms   4 expiry, s   5 priority   6 events kept   then the accounts
-- Gives 1 if it was written, 0 if it had been written before (or the batch is not open for it).
local id, now, expiry, priority = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local batch, number = P .. 'batch:' .. id, #ARGV - 6
local b = redis.call('HMGET', batch, 'planned', 'state')
if b[1] or (b[2] ~= 'accepted' and b[2] ~= 'running') then return 0 end
redis.call('HSET', batch, 'orders', 0, 'left', number, 'sweeps', number, 'swept', 0, 'deadline_ms', ARGV[3],
  'slices', 1, 'planned', 1)
redis.call('ZADD', P .. 'deadlines', ARGV[3], id)
for i = 7, #ARGV do
  local chunk_id, account = id .. '/s' .. (i - 7), ARGV[i]
  redis.call('SADD', P .. 'chunks:' .. id, chunk_id)
  redis.call('SADD', P .. 'accounts', account)
  redis.call('HSET', batch, 'a:' .. account .. ':orders', 0, 'sweep:' .. account, 'not listed yet')
  to_lane(chunk_id, id, account, priority, '', ARGV[3], 0, now, { 'sweep', 1 })
end
redis.call('EXPIRE', P .. 'chunks:' .. id, expiry)
finish(id, now, ARGV[6]) -- if there is no account at all
return 1
