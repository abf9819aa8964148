-- Count what matches a selection that has a most, before anything is sent: every account is listed once first, but for
-- those that pause.  What they turn out to have is canceled only as far as the most of the whole batch allows.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 account   3 orders of it that match   4 most orders   5 now, ms   6 events kept
-- Gives 'go', 'wait' while other accounts are yet to be counted, or 'refused': there are too many, and the batch ends.
even_if_full()

local function is_paused(account)
  for _, key in ipairs(cjson.decode(redis.call('HGET', P .. 'pauses', account) or '[]')) do
    if tonumber(redis.call('HGET', key, 'until_ms') or '0') > tonumber(ARGV[5]) then return true end
  end
  return false
end

local id, account, most, now = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local batch = P .. 'batch:' .. id
local b = redis.call('HMGET', batch, 'cleared', 'state')
if b[2] == 'refused' then return 'refused' end
if b[1] then return 'go' end
redis.call('HSET', batch, 'found:' .. account, ARGV[3])
local total, found, accounts, flat = 0, {}, {}, redis.call('HGETALL', batch)
for i = 1, #flat, 2 do
  local sort, name = string.match(flat[i], '^(%a+):(.+)$')
  if sort == 'found' then
    total, found[name] = total + tonumber(flat[i + 1]), true
  elseif sort == 'sweep' then
    accounts[#accounts + 1] = name
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
for _, name in ipairs(accounts) do
  if not found[name] and not is_paused(name) then return 'wait' end
end
redis.call('HSET', batch, 'cleared', 1)
return 'go'
