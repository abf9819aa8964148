-- Settle chunks of an account whose answers are there, and claim the next ones, in one go.
-- KEYS  1 prefix
-- ARGV  1 number of chunks, then for each those of settled(), then those of grants()
-- Gives {{for each chunk: 1 if the token was the newest, 1 if the batch ended}, {what grants() gives}}
even_if_full()
local answers, at = {}, 2
for _ = 1, tonumber(ARGV[1]) do
  local held, ended, behind = settled(at)
  answers[#answers + 1], answers[#answers + 2], at = held, ended, behind
end
return { answers, grants(at) }
