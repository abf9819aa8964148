-- Remove readers of the inbox that are gone for good: every start of a worker makes some.
-- KEYS  1 prefix
-- ARGV  1 group of the readers   2 how long a reader has said nothing, ms
-- Gives how many were removed.  One that has an entry in hands stays until that was taken over: it would be lost.
even_if_full()
local inbox, removed = P .. 'inbox', 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', inbox, ARGV[1])) do
  local reader = {}
  for i = 1, #flat, 2 do reader[flat[i]] = flat[i + 1] end
  local worker = P .. 'worker:' .. string.match(reader.name, '^[^#]*')
  if reader.pending == 0 and reader.idle >= tonumber(ARGV[2]) and redis.call('EXISTS', worker) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', inbox, ARGV[1], reader.name)
    removed = removed + 1
  end
end
return removed
