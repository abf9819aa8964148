-- Write what one attempt at a chunk taught, and hand the chunk on.
-- KEYS  1 prefix
-- ARGV  those of settled()
-- Gives {1 if the token was the newest, 1 if the batch ended}
even_if_full()
local held, ended = settled(1)
return { held, ended }
