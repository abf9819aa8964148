-- Stop an account, or all who share its key or IP, for a while; a longer pause that runs already stays.
-- KEYS  1 prefix
-- ARGV  1 key of the pause   2 account   3 now, ms   4 how long, ms   5 the longest that it may grow to, ms   6 reason
--       7 sort: 'rate' or 'trouble'   8 when the call was permitted that brought it, ms
--       9 failures in a row that stop nobody   10 events kept
-- Gives until when it waits, or 0 if it already waited that long.
-- Trouble again after a pause doubles it; what was under way when the pause began is the same trouble.
even_if_full()
local FORGOTTEN_MS = 60000 -- a limit that was kept for so long after a pause is kept
local key, now, asked, most = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local counter = ARGV[7] == 'rate' and 'breaches' or 'strikes' -- the one is no reason to stop longer for the other
local p = redis.call('HMGET', key, 'until_ms', 'since_ms', counter, 'last_ms')
if redis.call('HINCRBY', key, 'failures', 1) <= tonumber(ARGV[9]) then
  redis.call('PEXPIRE', key, 86400000)
  return 0
end
local before, since, strikes = tonumber(p[1] or '0'), tonumber(p[2] or '-1'), tonumber(p[3] or '0')
if ARGV[7] == 'rate' and now - tonumber(p[4] or '0') > FORGOTTEN_MS then strikes = 0 end
if tonumber(ARGV[8]) >= since or strikes == 0 then
  strikes, since = strikes + 1, now
end
local wait = math.min(asked * 2 ^ math.min(strikes - 1, 20), math.max(asked, most))
local till = math.floor(now + wait)
redis.call('HSET', key, counter, strikes, 'since_ms', text(since))
if ARGV[7] ~= 'rate' then redis.call('HSET', key, 'trial', '1') end
redis.call('PEXPIRE', key, 86400000)
if before >= till then return 0 end
redis.call('HSET', key, 'until_ms', text(till), 'last_ms', text(till), 'reason', ARGV[6], 'account', ARGV[2])
redis.call('SADD', P .. 'paused', key)
event(ARGV[10], 'type', 'account.paused', 'account', ARGV[2], 'at_ms', ARGV[3], 'until_ms', text(till),
  'scope', string.sub(key, #P + #'pause:' + 1), 'reason', ARGV[6])
return till
