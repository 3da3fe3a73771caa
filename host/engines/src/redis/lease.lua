-- Leases a batch. A batch whose delay has ended comes first, then a batch whose lease has ended, then a new batch.
-- `lost` is an entry that an earlier call has returned in `ours`, and that the caller does not hold.
local queue, ids, states, dead, delayed = unpack(KEYS)
local consumer, visibility, lost = unpack(ARGV)

-- Returns nil if the entry is gone.
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
            -- The caller was paused. Either the caller still holds the entry, or its next call names the entry as `lost`.
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
    -- Each lease of a batch has another number. Otherwise the worker's last lease would count as this lease.
    generation = generation + 1
    redis.call('HSET', states, id, next .. ' ' .. generation)
end
return { ours, entry[1], id, entry[2][4], next .. ' ' .. generation, attempt }
