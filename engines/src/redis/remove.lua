local queue, ids, states, dead, delayed = unpack(KEYS)
local id = ARGV[1]
local where, entry = string.match(redis.call('HGET', ids, id) or '', '^(%a+) (.+)$')
if not where then
    return 0
end
if where == 'dead' then
    redis.call('XDEL', dead, entry)
else
    redis.call('XACK', queue, 'workers', entry)
    redis.call('XDEL', queue, entry)
    redis.call('ZREM', delayed, id)
end
redis.call('HDEL', ids, id)
redis.call('HDEL', states, id)
return 1
