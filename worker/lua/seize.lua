-- Take one chunk out of its lane, or out of the hands of a worker that is gone, so that it can be settled.
-- KEYS  1 prefix
-- ARGV  1 chunk id   2 now, ms   3 holder (worker id)   4 longest time a call may take, ms   5 account
-- Gives {} if the chunk is settled, has time left in its lane or is in the hands of a living worker, else:
--   {kind, id, batch, token, attempts, deadline ms, account, place, order, place, order, …}
--   kind 'idle': it waited in its lane; kind 'send', 'late' or 'moot': what its last holder had claimed it for
local id, now = ARGV[1], tonumber(ARGV[2])
local chunk = P .. 'chunk:' .. id
local c = redis.call('HMGET', chunk, 'batch', 'places', 'deadline_ms', 'attempts', 'account', 'priority', 'holder', 'kind')
if not c[1] or redis.call('EXISTS', P .. 'batch:' .. c[1]) == 0 then
  if ARGV[5] ~= '' or c[5] then drop(id, c[5] or ARGV[5]) end
  return {}
end
local flights, lane = P .. 'flights:' .. c[5], P .. 'lane:' .. c[5] .. ':' .. c[6]
local kind = 'idle'
if redis.call('ZSCORE', lane, id) then
  if tonumber(c[3]) > now then return {} end -- it came back while we looked, and may still be sent
  redis.call('ZREM', lane, id)
else
  local since = tonumber(redis.call('ZSCORE', flights, id) or '0')
  local alive = c[7] and redis.call('EXISTS', P .. 'worker:' .. c[7]) == 1
  if since == 0 or (alive and since + tonumber(ARGV[4]) > now) then return {} end
  kind = c[8]
end
local token = redis.call('HINCRBY', P .. 'account:' .. c[5], 'token', 1)
redis.call('ZADD', flights, now, id)
redis.call('HSET', chunk, 'holder', ARGV[3], 'token', token, 'kind', kind)
local places = {}
for place in string.gmatch(c[2], '%d+') do places[#places + 1] = place end
local orders = redis.call('HMGET', P .. 'orders:' .. c[1], unpack(places))
local answer = { kind, id, c[1], token, tonumber(c[4]), tonumber(c[3]), c[5] }
for i, place in ipairs(places) do
  answer[#answer + 1] = place
  answer[#answer + 1] = orders[i]
end
return answer
