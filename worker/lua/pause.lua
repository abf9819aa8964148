-- Stop an account for a while; a longer pause that runs already stays.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms   3 until, ms   4 reason   5 events kept
-- Gives 1 if the account now waits longer than before.
local key = P .. 'account:' .. ARGV[1]
local before = tonumber(redis.call('HGET', key, 'paused_until_ms') or '0')
if before >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', key, 'paused_until_ms', ARGV[3], 'pause_reason', ARGV[4])
event(ARGV[5], 'type', 'account.paused', 'account', ARGV[1], 'at_ms', ARGV[2], 'until_ms', ARGV[3], 'reason', ARGV[4])
return 1
