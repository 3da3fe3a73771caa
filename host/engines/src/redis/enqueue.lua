local queue, ids, states, dead = unpack(KEYS)
local id, batch, why = unpack(ARGV)
if redis.call('HEXISTS', ids, id) == 1 then
    return 0
end
if why then
    local entry = redis.call('XADD', dead, '*', 'id', id, 'batch', batch, 'next', 0, 'attempt', 0, 'why', why)
    redis.call('HSET', ids, id, 'dead ' .. entry)
else
    local entry = redis.call('XADD', queue, '*', 'id', id, 'batch', batch)
    redis.call('HSET', ids, id, 'ready ' .. entry)
end
return 1
