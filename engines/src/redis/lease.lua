-- What was given back, or whose lease has ended, before what is new. XAUTOCLAIM looks at ten entries only, and says where to
-- go on; a caller goes on there with its next call.
local queue, ids, states = unpack(KEYS)
local consumer, visibility, cursor = unpack(ARGV)
local entry, attempt = nil, 1
for _ = 1, 100 do
    local claimed = redis.call('XAUTOCLAIM', queue, 'workers', consumer, visibility, cursor, 'COUNT', 1)
    cursor = claimed[1]
    entry = claimed[2][1]
    if entry or cursor == '0-0' then
        break
    end
end
local again = entry
if not again then
    local read = redis.call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', 1, 'STREAMS', queue, '>')
    if not read then
        return { cursor }
    end
    entry = read[1][2][1]
end
local id = entry[2][2]
local state = redis.call('HGET', states, id) or '0 0'
if again then
    attempt = redis.call('XPENDING', queue, 'workers', entry[1], entry[1], 1)[1][4]
    -- No two leases of a batch are the same, or the worker's own last one would pass for this one.
    local next, generation = string.match(state, '^(%d+) (%d+)$')
    state = next .. ' ' .. generation + 1
    redis.call('HSET', states, id, state)
end
return { cursor, entry[1], id, entry[2][4], state, attempt }
