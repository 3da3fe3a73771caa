-- The entry stays in the stream, which delivers it to nobody again; LEASE claims it once the delay is over. Kept are the attempts that
-- have counted; claiming adds one. The first write is one that a server without memory takes.
redis.call('XACK', queue, 'workers', entry)
local time = redis.call('TIME')
redis.call('ZADD', delayed, time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6], id)
redis.call('HSET', states, id, next .. ' ' .. generation .. ' ' .. ARGV[7])
return 1
