-- Take the most urgent chunks of an account, each with the permission to send one call for it now.
-- KEYS  1 prefix
-- ARGV  those of grants()
even_if_full()
return grants(1)
