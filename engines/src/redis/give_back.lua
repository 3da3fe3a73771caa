-- To the consumer '-', which is nobody; idle long enough to be claimed after the delay. RETRYCOUNT is the attempts that
-- have counted; claiming adds one.
redis.call('XCLAIM', queue, 'workers', '-', 0, entry, 'IDLE', ARGV[6], 'RETRYCOUNT', ARGV[7], 'JUSTID')
return 1
