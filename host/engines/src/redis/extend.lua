redis.call('XCLAIM', queue, 'workers', consumer, 0, entry, 'IDLE', 0, 'JUSTID')
return 1
