-- End a batch that is past its deadline and has no chunk left, though its plan was never written to the end.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 now, ms   3 events kept   4 how long past its deadline somebody may still write it, ms
-- Gives 1 if the batch ended just now.  Orders that were never written were not sent either.
even_if_full()
local id = ARGV[1]
local batch = P .. 'batch:' .. id
if redis.call('EXISTS', batch) == 0 then
  redis.call('ZREM', P .. 'deadlines', id)
  return 0
end
local deadline = tonumber(redis.call('HGET', batch, 'deadline_ms') or '0')
if deadline + tonumber(ARGV[4]) > tonumber(ARGV[2]) then return 0 end
if redis.call('EXISTS', P .. 'chunks:' .. id) == 1 or redis.call('HEXISTS', batch, 'planned') == 1 then return 0 end
local unwritten = tonumber(redis.call('HGET', batch, 'orders')) - redis.call('HLEN', P .. 'orders:' .. id)
redis.call('HSET', batch, 'planned', 1, 'left', 0, 'abandoned', unwritten)
redis.call('HINCRBY', batch, 'n:not_sent', unwritten)
return finish(id, ARGV[2], ARGV[3])
