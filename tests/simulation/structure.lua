-- Says what is wrong between two commands: a chunk in exactly one place, counters equal to the sum of outcomes, and so on.
-- The same rules as tests/tasks/lanes.py has for any Redis, on the tables themselves, a hundred times as fast.
local P = 'ripcord:'

-- What a key holds of the structure: {sort, id, account}; their names are the same in many schedules.
local sorts = setmetatable({}, {
  __index = function(sorts, key)
    local sort, id = string.match(key, '^ripcord:(%l+):(.+)$')
    local account, batch = string.match(id or '', '^([^:]+):(.+)$')
    if sort == 'lane' and string.sub(id, -6) == '.proof' then sort = 'proof lane' end
    sorts[key] = { sort = sort or '', id = sort == 'proof' and batch or id, account = account }
    return sorts[key]
  end,
})

return function(tables)
  local was_forgetful
  -- forgetful: Redis has lost a plan, and what was learned of its orders may be there before it is written anew.
  return function(forgetful)
    local db, get, now_ms, changed = tables()
    if not changed and forgetful == was_forgetful then return {} end -- it was right before
    was_forgetful = forgetful
    local faults, chunks, places_of, batches, proofs, proof_lanes = {}, {}, {}, {}, {}, {}
    local function fault(...) faults[#faults + 1] = string.format(...) end
    local function map(key)
      local value = get(key)
      return value and value.map or {}
    end
    local function count(table_, key, by) table_[key] = (table_[key] or 0) + (by or 1) end

    for key, value in pairs(db) do
      local named = sorts[key]
      local sort, id = named.sort, named.id
      if sort == 'chunk' then
        chunks[id] = value.map
      elseif sort == 'proof' then
        proofs[#proofs + 1] = { account = named.account, batch = id, map = value.map }
      elseif sort == 'proof lane' then
        for member in pairs(value.map) do count(proof_lanes, named.account .. ' ' .. member) end
      elseif sort == 'lane' or sort == 'flights' then
        for member in pairs(value.map) do
          places_of[member] = places_of[member] or {}
          table.insert(places_of[member], id)
        end
      elseif sort == 'batch' then
        batches[id] = { fields = value.map, chunks = {}, held = {}, sweeps = 0 }
      end
    end
    for id in pairs(places_of) do
      if not chunks[id] then fault('%s is in %s and is no chunk', id, table.concat(places_of[id], ' and ')) end
    end
    for id, c in pairs(chunks) do
      local found = places_of[id] or {}
      local wanted = c.account and c.account .. ':' .. c.priority
      if #found ~= 1 or (found[1] ~= wanted and found[1] ~= c.account) then
        fault('chunk %s is in %d places: %s', id, #found, table.concat(found, ' and '))
      end
      local batch = batches[c.batch]
      if not batch then
        fault('the batch %s of a chunk is unknown', c.batch)
      else
        batch.chunks[id] = c
        if c.sweep then batch.sweeps = batch.sweeps + 1 end
        for place in string.gmatch(c.places, '%d+') do
          if batch.held[place] then fault('place %s of %s is in two chunks', place, c.batch) end
          batch.held[place] = c.account
        end
      end
    end
    for _, proof in ipairs(proofs) do
      local batch, lane = batches[proof.batch], proof.account .. ' ' .. proof.batch
      local late = batch and tonumber(batch.fields.deadline_ms or '0') <= now_ms + 5000 -- clocks disagree; the watch ends it
      if proof_lanes[lane] ~= 1 and not (late and not proof_lanes[lane]) then
        fault('%s has orders of %s to be read, and stands in %d lanes', proof.batch, proof.account, proof_lanes[lane] or 0)
      end
      proof_lanes[lane] = nil
      for member in pairs(proof.map) do
        local place = string.match(member, '^%d+')
        if not batch then
          fault('an order of %s, which is no batch, is to be read', proof.batch)
        elseif batch.held[place] then
          fault('place %s of %s is to be read, and is in a chunk or to be read already', place, proof.batch)
        else
          batch.held[place] = proof.account
        end
      end
    end
    for lane in pairs(proof_lanes) do fault('%s stands in a lane without orders to be read', lane) end
    for id, batch in pairs(batches) do
      local b = batch.fields
      local orders, outcomes = map(P .. 'orders:' .. id), map(P .. 'outcomes:' .. id)
      if b.state == 'refused' then
        if next(batch.chunks) then fault('%s is refused, and has chunks', id) end
      elseif b.slices and not (forgetful and not b.planned) then
        local held, written, expected = 0, 0, {}
        for place, account in pairs(batch.held) do
          held = held + 1
          if not orders[place] then
            fault('place %s of %s is in a chunk and is no order', place, id)
          elseif cjson.decode(orders[place])[1] ~= account then
            fault("order %s of %s is in a chunk of %s", place, id, account)
          end
        end
        local named = {}
        for place, order in pairs(orders) do
          written = written + 1
          local account = cjson.decode(order)[1]
          if named[order] then fault('%s of %s is there twice', order, id) end
          named[order] = true
          count(expected, 'a:' .. account .. ':orders')
          if not batch.held[place] and not outcomes[place] then
            fault('order %s of %s is in no chunk and has no outcome', place, id)
          end
          if outcomes[place] then
            local status = string.match(outcomes[place], '^%d+|%d+|([a-z_]+)|')
            count(expected, 'n:' .. status)
            count(expected, 'a:' .. account .. ':' .. status)
          end
        end
        for place in pairs(outcomes) do
          if not orders[place] then fault('outcome %s of %s is of no order', place, id) end
        end
        local abandoned = tonumber(b.abandoned or '0')
        if abandoned > 0 then count(expected, 'n:not_sent', abandoned) end
        local unwritten = tonumber(b.orders) - written - abandoned
        if tonumber(b.left) ~= unwritten + held + batch.sweeps then
          fault('%s has %s left; %d are not written, %d in chunks', id, b.left, unwritten, held + batch.sweeps)
        end
        if (b.planned ~= nil) ~= (unwritten == 0) then
          fault('%d orders of %s are not written, planned is %s', unwritten, id, tostring(b.planned))
        end
        local done = b.state == 'done'
        if done ~= (b.left == '0' and b.planned ~= nil) or done ~= (b.done_ms ~= nil) then
          fault('the state of %s is %s with %s left', id, b.state, b.left)
        end
        if (map(P .. 'deadlines')[id] == nil) ~= done then fault('%s is wrong in the deadlines', id) end
        local listed = map(P .. 'chunks:' .. id)
        for chunk in pairs(listed) do
          if not batch.chunks[chunk] then fault('%s lists %s, which is no chunk', id, chunk) end
        end
        for chunk in pairs(batch.chunks) do
          if not listed[chunk] then fault('%s does not list %s', id, chunk) end
        end
        for name, number in pairs(b) do
          if (string.sub(name, 1, 2) == 'n:' or string.sub(name, 1, 2) == 'a:') then
            if tonumber(number) ~= (expected[name] or 0) then
              fault('%s counts %s %s, there are %d', id, number, name, expected[name] or 0)
            end
            expected[name] = nil
          end
        end
        for name, number in pairs(expected) do fault('%s counts no %s, there are %d', id, name, number) end
      elseif next(batch.chunks) and not b.slices then
        fault('%s has chunks before its plan', id)
      end
    end
    table.sort(faults)
    return faults
  end
end
