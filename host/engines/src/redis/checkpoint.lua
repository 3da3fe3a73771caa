redis.call('XCLAIM', queue, 'workers', consumer, 0, entry, 'IDLE', 0, 'RETRYCOUNT', 1, 'JUSTID')
redis.call('HSET', states, id, ARGV[6] .. ' ' .. generation)
return 1
