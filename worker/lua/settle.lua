-- Write what attempts at chunks taught, and hand the chunks on.
-- KEYS  1 prefix
-- ARGV  1 number of chunks, then for each those of settled()
-- Gives {for each chunk: 1 if the token was the newest, 1 if the batch ended}
even_if_full()
return (settled_all(1))
