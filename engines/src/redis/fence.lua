-- Begins each script that changes a leased batch: it is still the caller's, the same delivery at the same task, or
-- nothing happens. A plain XCLAIM or XACK asks nobody.
local queue, ids, nexts, dead = unpack(KEYS)
local entry, consumer, attempt, id, next = unpack(ARGV)
local pending = redis.call('XPENDING', queue, 'workers', entry, entry, 1)[1]
if not pending or pending[2] ~= consumer or pending[4] ~= tonumber(attempt)
    or (redis.call('HGET', nexts, id) or '0') ~= next then
    return 0
end
