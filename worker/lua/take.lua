#!lua flags=allow-oom
-- Take the oldest message of the first list that has one, and note it as unacknowledged, in one step.
-- KEYS  1 hash: tag -> JSON [message, exchange, routing key]   2 sorted set: tag by the time of taking, s
--       3… lists, the most urgent first; the oldest message is at the right end
-- ARGV  1 tag   2 the queue's name as a JSON string, one for each list
-- Gives {place of the list from 1, message}, or {0} if all are empty.  The exchange is '': the queue by its name.
-- Moves a message and needs hardly more memory for it, so it works on a Redis that is full, where nothing else does.
for place = 3, #KEYS do
  local message = redis.call('RPOP', KEYS[place])
  if message then
    local now = redis.call('TIME')
    redis.call('HSET', KEYS[1], ARGV[1], '[' .. message .. ',"",' .. ARGV[place - 1] .. ']')
    redis.call('ZADD', KEYS[2], now[1] + now[2] / 1000000, ARGV[1])
    return { place - 2, message }
  end
end
return { 0 }
