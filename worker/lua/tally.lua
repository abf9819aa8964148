-- Count what matches a selection that has a most, before anything is sent: every account is listed once first.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 account   3 orders of it that match   4 most orders   5 now, ms   6 events kept
-- Gives 'go', 'wait' while other accounts are yet to be counted, or 'refused': there are too many, and the batch ends.
even_if_full()
local id, account, most, now = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local batch = P .. 'batch:' .. id
local b = redis.call('HMGET', batch, 'cleared', 'sweeps', 'state')
if b[3] == 'refused' then return 'refused' end
if b[1] then return 'go' end
redis.call('HSET', batch, 'found:' .. account, ARGV[3])
local total, counted_accounts, flat = 0, 0, redis.call('HGETALL', batch)
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 6) == 'found:' then
    total, counted_accounts = total + tonumber(flat[i + 1]), counted_accounts + 1
  end
end
if total > most then
  local why = cjson.encode({ 'max_orders: ' .. text(total) .. ' or more orders match, and at most ' .. text(most)
    .. ' may be canceled; nothing was sent' })
  for _, chunk_id in ipairs(redis.call('SMEMBERS', P .. 'chunks:' .. id)) do
    drop(chunk_id, redis.call('HGET', P .. 'chunk:' .. chunk_id, 'account') or account)
  end
  redis.call('DEL', P .. 'chunks:' .. id)
  redis.call('ZREM', P .. 'deadlines', id)
  redis.call('HSET', batch, 'state', 'refused', 'errors', why, 'left', 0, 'done_ms', now)
  event(ARGV[6], 'type', 'batch.refused', 'batch_id', id, 'at_ms', now, 'errors', why)
  return 'refused'
end
if counted_accounts < tonumber(b[2]) then return 'wait' end
redis.call('HSET', batch, 'cleared', 1)
return 'go'
