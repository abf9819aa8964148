-- Settle one chunk and claim the next in one go: one command a call.
-- KEYS  1 prefix
-- ARGV  those of settled(), then those of grants()
-- Gives {1 if the token was the newest, 1 if the batch ended, {what grants() gives}}
even_if_full()
local held, ended, behind = settled(1)
return { held, ended, grants(behind) }
