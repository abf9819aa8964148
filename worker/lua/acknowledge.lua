-- Remove an entry of the inbox that is done with: its batch is planned, or it was refused.
-- KEYS  1 prefix
-- ARGV  1 group of the readers   2 entry   3 batch id, or '' if it was refused
-- Gives 1 if it is gone, 0 if it is to be taken again: a Redis that has lost its last second may have lost the plan, or
-- the whole batch, after its reader was told that it is written.
even_if_full()
local batch = P .. 'batch:' .. ARGV[3]
if ARGV[3] ~= '' and redis.call('HEXISTS', batch, 'planned') == 0 and redis.call('HGET', batch, 'state') ~= 'refused' then
  return 0
end
redis.call('XACK', P .. 'inbox', ARGV[1], ARGV[2])
redis.call('XDEL', P .. 'inbox', ARGV[2])
return 1
