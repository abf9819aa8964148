-- Settle chunks of an account whose answers are there, and claim the next ones, in one go.
-- KEYS  1 prefix
-- ARGV  1 number of chunks, then for each those of settled(), then those of grants()
-- Gives {{for each chunk: 1 if the token was the newest, 1 if the batch ended}, {what grants() gives}}
even_if_full()
local answers, behind = settled_all(1)
return { answers, grants(behind) }
