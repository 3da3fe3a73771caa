-- Leases a batch to the worker `consumer`. A batch whose delay has ended comes before a batch whose lease has ended. A
-- new batch comes last. `lost` is the id of an entry that an earlier call returned in `ours`, and of which the caller
-- has no lease any more. If `lost` is given, the script leases this entry.
local queue, ids, states, dead, delayed = unpack(KEYS)
local consumer, visibility, lost = unpack(ARGV)

-- Assigns the entry to the caller. Returns nil if the entry is no longer in the stream.
local function claim(entry, attempt)
    return redis.call('XCLAIM', queue, 'workers', consumer, 0, entry, 'IDLE', 0, 'RETRYCOUNT', attempt, 'FORCE')[1]
end

local function pending(entry)
    return redis.call('XPENDING', queue, 'workers', entry, entry, 1)[1]
end

local entry, attempt, ours = nil, 1, {}
if lost ~= '' then
    local held = pending(lost)
    if held and held[2] == consumer then
        attempt = held[4] + 1
        entry = claim(lost, attempt)
    end
end
if not entry then
    local time = redis.call('TIME')
    local due = redis.call('ZRANGE', delayed, '-inf', time[1] * 1000 + math.floor(time[2] / 1000), 'BYSCORE', 'LIMIT', 0, 10)
    for _, id in ipairs(due) do
        redis.call('ZREM', delayed, id)
        local waits = string.match(redis.call('HGET', ids, id) or '', '^ready (.+)$')
        local before = string.match(redis.call('HGET', states, id) or '', '^%d+ %d+ (%d+)$') or 0
        if waits and not pending(waits) then
            attempt = before + 1
            entry = claim(waits, attempt)
            if entry then
                break
            end
        end
    end
end
if not entry then
    for _, held in ipairs(redis.call('XPENDING', queue, 'workers', 'IDLE', visibility, '-', '+', 100)) do
        if held[2] == consumer then
            -- This worker's own lease has run out. If the worker still has the lease, this XCLAIM extends it. If not,
            -- the worker names the entry as `lost` in its next call.
            redis.call('XCLAIM', queue, 'workers', consumer, 0, held[1], 'IDLE', 0, 'JUSTID')
            ours[#ours + 1] = held[1]
        else
            attempt = held[4] + 1
            entry = claim(held[1], attempt)
            if entry then
                break
            end
        end
    end
end
local again = entry
if not again then
    local read = redis.call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', 1, 'STREAMS', queue, '>')
    if not read then
        return { ours }
    end
    entry, attempt = read[1][2][1], 1
end
local id = entry[2][2]
local next, generation = string.match(redis.call('HGET', states, id) or '0 0', '^(%d+) (%d+)')
if again then
    -- Each lease of a batch gets a new number, so that the worker's earlier lease of this batch is no longer valid.
    generation = generation + 1
    redis.call('HSET', states, id, next .. ' ' .. generation)
end
return { ours, entry[1], id, entry[2][4], next .. ' ' .. generation, attempt }
