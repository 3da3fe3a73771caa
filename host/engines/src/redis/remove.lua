local queue, ids, states, dead, delayed = unpack(KEYS)
local id = ARGV[1]
local where, entry = string.match(redis.call('HGET', ids, id) or '', '^(%a+) (.+)$')
if not where then
    return false
end
local next
if where == 'dead' then
    local stored = redis.call('XRANGE', dead, entry, entry)[1]
    next = stored and stored[2][6]
    redis.call('XDEL', dead, entry)
else
    next = string.match(redis.call('HGET', states, id) or '', '^%d+')
    redis.call('XACK', queue, 'workers', entry)
    redis.call('XDEL', queue, entry)
    redis.call('ZREM', delayed, id)
end
redis.call('HDEL', ids, id)
redis.call('HDEL', states, id)
return tonumber(next or 0)
