-- The beginning of each script that changes a leased batch. If the caller no longer holds the batch, in the same lease
-- and at the same task, the script changes nothing. A plain XCLAIM or XACK does not check this.
local queue, ids, states, dead, delayed = unpack(KEYS)
local entry, consumer, id, next, generation = unpack(ARGV)
local pending = redis.call('XPENDING', queue, 'workers', entry, entry, 1)[1]
local known = string.match(redis.call('HGET', states, id) or '0 0', '^%d+ %d+')
if not pending or pending[2] ~= consumer or (known ~= next .. ' ' .. generation and known ~= reached) then
    return 0
end
