-- Give up reading the orders of a batch that is past its deadline: what is known of them stands.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 now, ms   3 events kept
-- Gives {orders given up, 1 if the batch ended just now}.
even_if_full()
local id, now = ARGV[1], ARGV[2]
local batch = P .. 'batch:' .. id
local b = redis.call('HMGET', batch, 'deadline_ms', 'priority', 'settled_ms')
if not b[1] or tonumber(b[1]) > tonumber(now) then return { 0, 0 } end
local given_up = 0
for _, field in ipairs(redis.call('HKEYS', batch)) do
  local account = string.match(field, '^a:([^:]+):orders$')
  if account then
    given_up = given_up + redis.call('ZCARD', proof_key(account, id))
    redis.call('DEL', proof_key(account, id))
    proof_lane(account, id, b[2])
  end
end
if given_up == 0 then return { 0, 0 } end
redis.call('HINCRBY', batch, 'left', -given_up)
-- A worker that has read its clock before this settles after it: the batch ends no earlier.
redis.call('HSET', batch, 'settled_ms', text(math.max(tonumber(now), tonumber(b[3] or '0'))))
return { given_up, finish(id, now, ARGV[3]) }
