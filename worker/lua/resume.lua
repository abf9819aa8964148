-- End a pause whose time is over, and say so.  What was learned of the trouble stays for the next one.
-- KEYS  1 prefix
-- ARGV  1 key of the pause   2 now, ms   3 events kept
-- Gives the account that brought the pause if it ended just now, else ''.
local p = redis.call('HMGET', ARGV[1], 'until_ms', 'account')
if p[1] and tonumber(p[1]) > tonumber(ARGV[2]) then return '' end
redis.call('SREM', P .. 'paused', ARGV[1])
if not p[1] then return '' end
redis.call('HDEL', ARGV[1], 'until_ms')
event(ARGV[3], 'type', 'account.resumed', 'account', p[2], 'at_ms', ARGV[2],
  'scope', string.sub(ARGV[1], #P + #'pause:' + 1))
return p[2]
