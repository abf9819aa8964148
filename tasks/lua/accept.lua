-- Take a batch in, once: the same id with the same digest is the same batch.
-- KEYS  1 prefix
-- ARGV  1 batch id   2 digest   3 now, ms   4 expiry, s   5 events kept
--       6 document as JSON to put into the inbox, or '' if it is there already   7 its entry there, or ''
--       8… field, value, … of the batch hash
-- Gives 'new', 'known' (same content) or 'conflict' (other content).
-- A refused batch gives its id free again: nothing of it was ever sent.  But what was refused is not taken in by the
-- same entry of the inbox, which comes again where its reader died; and a sweep that matched too many stays refused,
-- however often and by whatever way it comes again, until its content is another.
local P = KEYS[1]
local batch = P .. 'batch:' .. ARGV[1]
local known = redis.call('HMGET', batch, 'digest', 'state', 'entry', 'planned')
local counted = known[4] and known[1] == ARGV[2]
if known[1] and (known[2] ~= 'refused' or known[3] == ARGV[7] or counted) then
  return known[1] == ARGV[2] and 'known' or 'conflict'
end
-- First what a full Redis denies: a script that has written once may go on, and would take the batch in.
redis.call('ZADD', P .. 'batches', ARGV[3], ARGV[1])
redis.call('DEL', batch)
redis.call('HSET', batch, 'batch_id', ARGV[1], 'digest', ARGV[2], 'submitted_ms', ARGV[3], 'state', 'accepted',
  unpack(ARGV, 8))
redis.call('EXPIRE', batch, ARGV[4])
local entry = ARGV[6] ~= '' and redis.call('XADD', P .. 'inbox', '*', 'batch', ARGV[6]) or ARGV[7]
if entry ~= '' then redis.call('HSET', batch, 'entry', entry) end
redis.call('XADD', P .. 'events', 'MAXLEN', '~', ARGV[5], '*',
  'type', 'batch.accepted', 'batch_id', ARGV[1], 'at_ms', ARGV[3])
return 'new'
