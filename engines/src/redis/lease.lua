-- What was given back, or whose lease has ended, before what is new. XAUTOCLAIM looks at ten entries only, and says where to
-- go on; a caller goes on there with its next call.
local queue, ids, nexts = unpack(KEYS)
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
if entry then
    attempt = redis.call('XPENDING', queue, 'workers', entry[1], entry[1], 1)[1][4]
else
    local read = redis.call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', 1, 'STREAMS', queue, '>')
    if not read then
        return { cursor }
    end
    entry = read[1][2][1]
end
local next = redis.call('HGET', nexts, entry[2][2]) or '0'
return { cursor, entry[1], entry[2][2], entry[2][4], tonumber(next), attempt }
