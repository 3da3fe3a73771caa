redis.call('XACK', queue, 'workers', entry)
redis.call('XDEL', queue, entry)
redis.call('HDEL', ids, id)
redis.call('HDEL', states, id)
return 1
