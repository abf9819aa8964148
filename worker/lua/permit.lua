-- Take the permission for one call of work that is in hands already, such as a page of a listing.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms   3 priority   4 share of a clean-up, thousandths   5 max calls in flight
--       6 chunk that the work is of, or ''   7 its token: if that is the newest, the chunk is held for no time yet
--       8 number of pauses, then for each: key
--       then number of limits, then for each: as for grants()
-- Gives {1, now}, or {0, ms from which it is worth asking again}.
even_if_full()
local YIELD_MS = 10
local account, now, priority = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local c = redis.call('HMGET', P .. 'chunk:' .. ARGV[6], 'batch', 'token')
if c[1] and c[2] == ARGV[7] then redis.call('ZADD', P .. 'flights:' .. account, 'XX', now, ARGV[6]) end
local paused, trial, next_at = read_pauses(8)
if paused > now then return { 0, paused } end
-- What is more urgent goes between any two calls, if there is a place for it: else it waits for this work to end.
local free = redis.call('ZCARD', P .. 'flights:' .. account) < (trial and 1 or tonumber(ARGV[5]))
for _, urgent in ipairs(PRIORITIES) do
  if urgent == priority or not free then break end
  for _, kind in ipairs({ '', '.proof' }) do
    local head = redis.call('ZRANGE', P .. 'lane:' .. account .. ':' .. urgent .. kind, 0, 0, 'WITHSCORES')
    if head[1] and tonumber(head[2]) <= now then return { 0, now + YIELD_MS } end
  end
end
local limits = read_limits(next_at)
local when = allowed_at(limits, priority, tonumber(ARGV[4]), {}, now)
if when > now then return { 0, when } end
local batch = c[1] and P .. 'batch:' .. c[1]
if batch and redis.call('EXISTS', batch) == 1 then redis.call('HINCRBY', batch, 'calls', 1) end
permit(limits, now)
return { 1, now }
