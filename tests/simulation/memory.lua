-- Plays Redis: the commands that ripcord uses, on tables, under a clock that somebody else moves.
-- Strings and counters are kept as text, as Redis keeps them.  Gives a table of functions to Python.
local db, expires, now_ms, serial = {}, {}, 0, 0
local commands = {}
local changed = true -- a hash, a set or a sorted set, since somebody asked

local function s(value)
  if type(value) == 'number' then
    return value == math.floor(value) and string.format('%.0f', value) or string.format('%.17g', value)
  end
  return value
end

local function get(key)
  local at = expires[key]
  if at and at <= now_ms then
    db[key], expires[key], changed = nil, nil, true
  end
  return db[key]
end

local function get_or_make(key, kind)
  local value = get(key)
  changed = changed or kind ~= 'list'
  if not value then
    value = { kind = kind, size = 0, map = {} }
    db[key], expires[key] = value, nil
  end
  if value.kind ~= kind then error('WRONGTYPE ' .. key) end
  return value
end

local function drop(key)
  changed = changed or db[key] ~= nil
  db[key], expires[key] = nil, nil
end

local function remove(key, value, member)
  if value.map[member] == nil then return 0 end
  value.map[member], changed = nil, true
  value.size, value.sorted = value.size - 1, nil
  if value.size == 0 then drop(key) end
  return 1
end

function commands.TIME()
  return { s(math.floor(now_ms / 1000)), s(now_ms % 1000 * 1000) }
end

function commands.DEL(...)
  local gone = 0
  for _, key in ipairs({ ... }) do
    if get(key) then gone = gone + 1 end
    drop(key)
  end
  return gone
end

function commands.EXISTS(...)
  local found = 0
  for _, key in ipairs({ ... }) do
    if get(key) then found = found + 1 end
  end
  return found
end

function commands.PEXPIRE(key, ms)
  if not get(key) then return 0 end
  expires[key] = now_ms + tonumber(ms)
  if tonumber(ms) <= 0 then drop(key) end
  return 1
end

function commands.EXPIRE(key, seconds)
  return commands.PEXPIRE(key, tonumber(seconds) * 1000)
end

function commands.TTL(key)
  if not get(key) then return -2 end
  return expires[key] and math.floor((expires[key] - now_ms + 500) / 1000) or -1
end

function commands.SET(key, value, ...)
  local px, nx
  local options = { ... }
  for i, option in ipairs(options) do
    if option == 'NX' then nx = true end
    if option == 'PX' then px = tonumber(options[i + 1]) end
  end
  if nx and get(key) then return false end
  db[key], expires[key] = { kind = 'string', size = 1, map = {}, text = s(value) }, px and now_ms + px or nil
  return 'OK'
end

function commands.GET(key)
  local value = get(key)
  return value and value.text or false
end

function commands.HSET(key, ...)
  local value, flat, new = get_or_make(key, 'hash'), { ... }, 0
  if #flat == 0 or #flat % 2 == 1 then error('wrong number of arguments for HSET') end
  for i = 1, #flat, 2 do
    local name = s(flat[i])
    if value.map[name] == nil then
      new, value.size = new + 1, value.size + 1
    end
    value.map[name] = s(flat[i + 1])
  end
  return new
end

function commands.HSETNX(key, name, text)
  local value = get_or_make(key, 'hash')
  if value.map[name] ~= nil then return 0 end
  return commands.HSET(key, name, text)
end

function commands.HGET(key, name)
  local value = get(key)
  return value and value.map[s(name)] or false
end

function commands.HMGET(key, ...)
  local value, found = get(key), { ... }
  if #found == 0 then error('wrong number of arguments for HMGET') end
  for i, name in ipairs(found) do found[i] = value and value.map[s(name)] or false end
  return found
end

function commands.HGETALL(key)
  local value, flat = get(key), {}
  for name, text in pairs(value and value.map or {}) do
    flat[#flat + 1], flat[#flat + 2] = name, text
  end
  return flat
end

function commands.HKEYS(key)
  local value, names = get(key), {}
  for name in pairs(value and value.map or {}) do names[#names + 1] = name end
  return names
end

function commands.HDEL(key, ...)
  local value, gone = get(key), 0
  for _, name in ipairs({ ... }) do
    if value then gone = gone + remove(key, value, s(name)) end
  end
  return gone
end

function commands.HINCRBY(key, name, by)
  local value = tonumber(commands.HGET(key, name) or '0') + tonumber(by)
  commands.HSET(key, name, value)
  return value
end

function commands.HEXISTS(key, name)
  local value = get(key)
  return value and value.map[s(name)] ~= nil and 1 or 0
end

function commands.HLEN(key)
  local value = get(key)
  return value and value.size or 0
end

function commands.SADD(key, ...)
  local value, new = get_or_make(key, 'set'), 0
  for _, member in ipairs({ ... }) do
    if value.map[member] == nil then
      new, value.size = new + 1, value.size + 1
      value.map[member] = true
    end
  end
  return new
end

function commands.SREM(key, ...)
  return commands.HDEL(key, ...)
end

function commands.SMEMBERS(key)
  local value, members = get(key), {}
  for member in pairs(value and value.map or {}) do members[#members + 1] = member end
  table.sort(members)
  return members
end

function commands.SRANDMEMBER(key, _)
  return commands.SMEMBERS(key) -- as many as are asked for are more than there are
end

local function sorted(value)
  if not value.sorted then
    local members, scores = {}, value.map
    for member in pairs(scores) do members[#members + 1] = member end
    table.sort(members, function(a, b)
      if scores[a] ~= scores[b] then return scores[a] < scores[b] end
      return a < b
    end)
    value.sorted = members
  end
  return value.sorted
end

function commands.ZADD(key, ...)
  local flat, new = { ... }, 0
  if flat[1] == 'XX' then -- as the product uses it: one member
    if not commands.ZSCORE(key, flat[3]) then return 0 end
    table.remove(flat, 1)
  end
  local value = get_or_make(key, 'zset')
  for i = 1, #flat, 2 do
    local member = s(flat[i + 1])
    if value.map[member] == nil then
      new, value.size = new + 1, value.size + 1
    end
    value.map[member], value.sorted = assert(tonumber(flat[i])), nil
  end
  return new
end

function commands.ZREM(key, ...)
  return commands.HDEL(key, ...)
end

function commands.ZSCORE(key, member)
  local value = get(key)
  local score = value and value.map[member]
  return score and s(score) or false
end

function commands.ZCARD(key)
  return commands.HLEN(key)
end

function commands.ZRANGE(key, from, to, with_scores)
  local value = get(key)
  if not value then return {} end
  local members, found = sorted(value), {}
  to = tonumber(to) < 0 and #members + tonumber(to) or tonumber(to)
  for i = tonumber(from) + 1, math.min(to + 1, #members) do
    found[#found + 1] = members[i]
    if with_scores then found[#found + 1] = s(value.map[members[i]]) end
  end
  return found
end

local function up_to(key, most)
  local value, found = get(key), {}
  if not value then return found end
  most = tonumber(most)
  for _, member in ipairs(sorted(value)) do
    if value.map[member] <= most then found[#found + 1] = member end
  end
  return found
end

function commands.ZRANGEBYSCORE(key, _, most)
  return up_to(key, most)
end

function commands.ZCOUNT(key, _, most)
  return #up_to(key, most)
end

function commands.ZREMRANGEBYSCORE(key, _, most)
  local found = up_to(key, most)
  for _, member in ipairs(found) do commands.ZREM(key, member) end
  return #found
end

function commands.RPUSH(key, ...)
  local value = get_or_make(key, 'list')
  for _, text in ipairs({ ... }) do value.map[#value.map + 1] = s(text) end
  return #value.map
end

function commands.LPUSH(key, text)
  local value = get_or_make(key, 'list')
  table.insert(value.map, 1, s(text))
  return #value.map
end

function commands.LINSERT(key, _, pivot, text) -- before it
  local value = get(key)
  if not value then return 0 end
  for i, one in ipairs(value.map) do
    if one == s(pivot) then
      table.insert(value.map, i, s(text))
      return #value.map
    end
  end
  return -1
end

function commands.RPOP(key)
  local value = get(key)
  if not value then return false end
  local last = table.remove(value.map)
  if #value.map == 0 then drop(key) end
  return last
end

function commands.LRANGE(key, from, to)
  local value, found = get(key), {}
  local items = value and value.map or {}
  to = tonumber(to) < 0 and #items + tonumber(to) or tonumber(to)
  for i = tonumber(from) + 1, math.min(to + 1, #items) do found[#found + 1] = items[i] end
  return found
end

function commands.LINDEX(key, index)
  local value = get(key)
  return value and value.map[tonumber(index) + 1] or false
end

function commands.LTRIM(key, from, to)
  local value = get(key)
  if not value then return 'OK' end
  value.map = commands.LRANGE(key, from, to)
  if #value.map == 0 then drop(key) end
  return 'OK'
end

function commands.LREM(key, count, text)
  local value = get(key)
  if not value then return 0 end
  count, text = tonumber(count), s(text)
  local gone, from, to, step = 0, 1, #value.map, 1
  if count < 0 then from, to, step = #value.map, 1, -1 end
  local kept, dropped = {}, {}
  for i = from, to, step do
    if value.map[i] == text and (count == 0 or gone < math.abs(count)) then
      gone, dropped[i] = gone + 1, true
    end
  end
  for i, one in ipairs(value.map) do
    if not dropped[i] then kept[#kept + 1] = one end
  end
  value.map = kept
  if #kept == 0 then drop(key) end
  return gone
end

function commands.XADD(key, ...)
  local flat, fields = { ... }, {}
  local at = 1
  if flat[1] == 'MAXLEN' then at = 4 end
  for i = at + 1, #flat do fields[#fields + 1] = s(flat[i]) end
  local value = get_or_make(key, 'stream')
  serial = serial + 1
  value.size = value.size + 1
  local id = string.format('%.0f-%d', now_ms, serial)
  value.map[#value.map + 1] = { id, fields }
  return id
end

function commands.XRANGE(key)
  local value = get(key)
  return value and value.map or {}
end

function commands.XACK()
  return 0 -- its entries are read without a group
end

function commands.XDEL(key, id)
  local value, gone = get(key), 0
  for i = #(value and value.map or {}), 1, -1 do
    if value.map[i][1] == id then
      table.remove(value.map, i)
      gone = gone + 1
    end
  end
  return gone
end

function commands.KEYS()
  local found = {}
  for key in pairs(db) do
    if get(key) then found[#found + 1] = key end
  end
  table.sort(found)
  return found
end

redis = { -- luacheck: ignore
  call = function(name, ...)
    return commands[name](...)
  end,
}

local decoded = {}
cjson = { -- luacheck: ignore
  null = setmetatable({}, { __tostring = function() return 'userdata: NULL' end }),
  decode = function(text)
    if not decoded[text] then
      assert(not string.find(text, '\\', 1, true), 'this cjson knows no escapes')
      local found = {}
      for item in string.gmatch(string.sub(text, 2, -2), '[^,]+') do
        found[#found + 1] = item == 'null' and cjson.null or string.match(item, '^%s*"(.*)"%s*$')
      end
      decoded[text] = found
    end
    return decoded[text]
  end,
  encode = function(map)
    local found = {}
    if #map > 0 then
      for i, words in ipairs(map) do found[i] = '"' .. words .. '"' end
      return '[' .. table.concat(found, ',') .. ']'
    end
    for name, number in pairs(map) do found[#found + 1] = '"' .. name .. '":' .. s(number) end
    return '{' .. table.concat(found, ',') .. '}'
  end,
}

local function copy(value)
  if type(value) ~= 'table' then return value end
  local new = {}
  for key, one in pairs(value) do new[key] = copy(one) end
  return new
end

local function whole(reply)
  if type(reply) == 'number' then return reply < 0 and math.ceil(reply) or math.floor(reply) end
  if type(reply) ~= 'table' then return reply end
  local found = {}
  for i, one in ipairs(reply) do found[i] = whole(one) end
  return found
end

collectgarbage('stop') -- a schedule leaves little: it is taken away between two of them
return {
  reset = function()
    if collectgarbage('count') > 16384 then collectgarbage() end
    db, expires, now_ms, serial, decoded, changed = {}, {}, 0, 0, {}, true
  end,
  at = function(ms) now_ms = ms end,
  command = function(name, ...) return commands[name](...) end,
  commands = function(...) -- of each the number of its words, then these
    local flat, found, at = { ... }, {}, 1
    while flat[at] do
      local behind = at + flat[at]
      found[#found + 1] = commands[flat[at + 1]](unpack(flat, at + 2, behind))
      at = behind + 1
    end
    return found
  end,
  compile = function(text) return assert(loadstring(text)) end,
  run = function(script, ...)
    KEYS, ARGV = { (...) }, { select(2, ...) } -- luacheck: ignore
    return whole(script())
  end,
  snapshot = function() return { copy(db), copy(expires) } end,
  restore = function(kept) db, expires, changed = copy(kept[1]), copy(kept[2]), true end,
  db = function()
    local since = changed
    changed = false
    return db, get, now_ms, since
  end,
}
