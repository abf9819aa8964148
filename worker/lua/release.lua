-- Give chunks back that were claimed and not sent, each with its permission: from where, and as much as, it was taken.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms   3 token of the chunk, or ''   4 holder whose every chunk it is ('worker#number'), or ''
-- Gives the number of chunks given back.
even_if_full()
local account, now, released = ARGV[1], ARGV[2], 0
for _, id in ipairs(redis.call('ZRANGE', P .. 'flights:' .. account, 0, -1)) do
  local chunk = P .. 'chunk:' .. id
  local c = redis.call('HMGET', chunk, 'holder', 'token', 'priority', 'kind', 'batch', 'places', 'spent')
  if c[1] == ARGV[4] or c[2] == ARGV[3] then
    released = released + 1
    land(id, account, now)
    if c[4] == 'query' or c[4] == 'list' then -- to be read, as before: in a lane they would be canceled
      for _, place in ipairs(split(c[6])) do redis.call('ZADD', proof_key(account, c[5]), now, place) end
      redis.call('EXPIRE', proof_key(account, c[5]), redis.call('TTL', P .. 'batch:' .. c[5]))
      proof_lane(account, c[5], c[3])
      redis.call('DEL', chunk)
      redis.call('SREM', P .. 'chunks:' .. c[5], id)
    else
      redis.call('ZADD', P .. 'lane:' .. account .. ':' .. c[3], now, id)
      -- The token is spent: whoever had it settles nothing any more.
      redis.call('HSET', chunk, 'token', next_token(account))
    end
    if c[4] == 'send' then redis.call('HINCRBY', chunk, 'attempts', -1) end
    for limit, units, latest in string.gmatch(c[7] or '', '([^\n]+) (%d+) (%d+) %d+') do
      redis.call('LREM', limit, units, latest)
    end
  end
end
return released
