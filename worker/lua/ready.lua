-- Look whether an account has work that may be tried now.
-- KEYS  1 prefix
-- ARGV  1 account   2 now, ms
-- Gives its most urgent priority with such work, or ''.
for _, priority in ipairs(PRIORITIES) do
  for _, kind in ipairs({ '', '.proof' }) do
    if redis.call('ZCOUNT', P .. 'lane:' .. ARGV[1] .. ':' .. priority .. kind, '-inf', ARGV[2]) > 0 then return priority end
  end
end
return ''
