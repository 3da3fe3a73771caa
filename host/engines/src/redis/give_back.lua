-- The batch's entry stays in the stream, but Redis does not deliver the entry again. The script lease.lua claims the
-- entry when the delay has ended. The batch's state keeps the number of attempts, and lease.lua adds one. XACK comes
-- first: a server without free memory checks only the first write of a script, and accepts XACK.
redis.call('XACK', queue, 'workers', entry)
local time = redis.call('TIME')
redis.call('ZADD', delayed, time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6], id)
redis.call('HSET', states, id, next .. ' ' .. generation .. ' ' .. ARGV[7])
return 1
