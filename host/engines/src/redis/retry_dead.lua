local queue, ids, states, dead = unpack(KEYS)
local id = ARGV[1]
local buried = string.match(redis.call('HGET', ids, id) or '', '^dead (.+)$')
local stored = buried and redis.call('XRANGE', dead, buried, buried)[1]
if not stored then
    return false
end
local entry = redis.call('XADD', queue, '*', 'id', id, 'batch', stored[2][4])
redis.call('HSET', ids, id, 'ready ' .. entry)
if stored[2][6] ~= '0' then
    redis.call('HSET', states, id, stored[2][6] .. ' 0')
end
redis.call('XDEL', dead, buried)
return tonumber(stored[2][6])
