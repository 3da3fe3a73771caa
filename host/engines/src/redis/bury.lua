local stored = redis.call('XRANGE', queue, entry, entry)[1]
if stored then
    local buried = redis.call('XADD', dead, '*', 'id', id, 'batch', stored[2][4], 'next', next, 'attempt', pending[4],
        'why', ARGV[6])
    redis.call('HSET', ids, id, 'dead ' .. buried)
end
redis.call('XACK', queue, 'workers', entry)
redis.call('XDEL', queue, entry)
redis.call('HDEL', states, id)
return 1
