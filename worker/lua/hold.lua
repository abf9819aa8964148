#!lua flags=allow-oom
-- Say that our unacknowledged messages are still in good hands, and name those that are not.
-- KEYS  1 sorted set: tag by the time until which its worker was known to live, s
-- ARGV  1 seconds after which a worker that said nothing is gone   2 how many to name   3… tags of ours
-- Gives the tags of messages whose workers are gone.
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i]) end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
