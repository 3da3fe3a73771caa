-- The beginning of each script that changes a leased batch. If the caller's lease of the batch is no longer valid, or
-- if the batch is at another task, the script changes nothing. XCLAIM and XACK alone would not check this.
local queue, ids, states, dead, delayed = unpack(KEYS)
local entry, consumer, id, next, generation = unpack(ARGV)
local pending = redis.call('XPENDING', queue, 'workers', entry, entry, 1)[1]
local known = string.match(redis.call('HGET', states, id) or '0 0', '^%d+ %d+')
if not pending or pending[2] ~= consumer or (known ~= next .. ' ' .. generation and known ~= reached) then
    return 0
end
