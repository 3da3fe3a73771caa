redis.call('XCLAIM', queue, 'workers', consumer, 0, entry, 'IDLE', 0, 'RETRYCOUNT', 1, 'JUSTID')
redis.call('HSET', nexts, id, ARGV[6])
return 1
