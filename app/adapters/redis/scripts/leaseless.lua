-- Ids of open runs that nobody holds and that were begun elsewhere than in the queue, that a worker is believed to have,
-- or that fell out of the queue; oldest first. What is left is waiting: its turn, room for it after it was put off or
-- handed back, or the moment until which it was put off, by Redis' clock.
-- Looks at the two thousand oldest; forgets runs that expired.
local open, queue, begun = unpack(KEYS)
local limit, run, lease, in_progress = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local time = redis.call('TIME')
local now_ms = math.floor(time[1] * 1000 + time[2] / 1000)

local function is_stuck(id)
  local at_ms = redis.call('ZSCORE', queue, id)
  if not at_ms then
    return true
  end
  if tonumber(at_ms) > now_ms then
    return false
  end
  local was_begun = redis.call('HEXISTS', run .. id, 'attempt') == 1 and redis.call('SISMEMBER', begun, id) == 0
  return was_begun or redis.call('EXISTS', in_progress .. id) == 1
end

local free = {}
for _, id in ipairs(redis.call('ZRANGE', open, 0, 1999)) do
  if #free == limit then
    break
  end
  if redis.call('EXISTS', run .. id) == 0 then
    redis.call('ZREM', open, id)
  elseif redis.call('EXISTS', lease .. id) == 0 and is_stuck(id) then
    free[#free + 1] = id
  end
end
return free
