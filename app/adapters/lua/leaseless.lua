-- Ids of open runs that nobody holds and that were begun, that arq believes to be at work, or that fell out of arq's
-- queue; oldest first. What is left is waiting its turn. Looks at the two thousand oldest; forgets runs that expired.
local open, queue = unpack(KEYS)
local limit, run, lease, in_progress = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local free = {}
for _, id in ipairs(redis.call('ZRANGE', open, 0, 1999)) do
  if #free == limit then
    break
  end
  if redis.call('EXISTS', run .. id) == 0 then
    redis.call('ZREM', open, id)
  elseif redis.call('EXISTS', lease .. id) == 0 then
    local begun = redis.call('HEXISTS', run .. id, 'attempt') == 1
    if begun or redis.call('EXISTS', in_progress .. id) == 1 or not redis.call('ZSCORE', queue, id) then
      free[#free + 1] = id
    end
  end
end
return free
