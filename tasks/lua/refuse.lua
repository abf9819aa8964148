-- Record a refused document: always as an event, and under its batch id unless that is another batch's.
-- KEYS  1 prefix
-- ARGV  1 batch id or ''   2 now, ms   3 errors as a JSON array   4 expiry, s   5 events kept   6 digest or ''
-- Gives 1 if it was recorded under its id.
local P, recorded = KEYS[1], 0
if ARGV[1] ~= '' then
  local batch = P .. 'batch:' .. ARGV[1]
  local b = redis.call('HMGET', batch, 'state', 'digest', 'slices', 'planned')
  -- A sweep that matched too many is known by its digest when it comes again.
  if not b[1] or (b[1] == 'refused' and not b[4]) or (b[2] == ARGV[6] and b[1] == 'accepted' and not b[3]) then
    redis.call('HSET', batch, 'batch_id', ARGV[1], 'state', 'refused', 'errors', ARGV[3])
    redis.call('HSETNX', batch, 'submitted_ms', ARGV[2])
    redis.call('HDEL', batch, 'digest')
    redis.call('EXPIRE', batch, ARGV[4])
    redis.call('ZADD', P .. 'batches', ARGV[2], ARGV[1])
    recorded = 1
  end
end
redis.call('XADD', P .. 'events', 'MAXLEN', '~', ARGV[5], '*',
  'type', 'batch.refused', 'batch_id', ARGV[1], 'at_ms', ARGV[2], 'errors', ARGV[3])
return recorded
