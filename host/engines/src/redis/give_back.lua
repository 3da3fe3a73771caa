-- The entry stays in the stream, but the stream does not deliver it again. LEASE claims the entry after the delay. The
-- state keeps the number of attempts, and the claim adds one. XACK comes first, because a server without free memory
-- accepts it.
redis.call('XACK', queue, 'workers', entry)
local time = redis.call('TIME')
redis.call('ZADD', delayed, time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6], id)
redis.call('HSET', states, id, next .. ' ' .. generation .. ' ' .. ARGV[7])
return 1
