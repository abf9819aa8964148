-- End a pause whose time is over, and say so.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms   3 events kept
-- Gives 1 if a pause ended just now.
local key = P .. 'account:' .. ARGV[1]
local until_ms = redis.call('HGET', key, 'paused_until_ms')
if not until_ms or tonumber(until_ms) > tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', key, 'paused_until_ms', 'pause_reason')
event(ARGV[3], 'type', 'account.resumed', 'account', ARGV[1], 'at_ms', ARGV[2])
return 1
