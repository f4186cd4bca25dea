-- How many jobs wait. arq leaves running jobs in its queue; they are the oldest, so the first thousand tell.
local queue = KEYS[1]
local in_progress = ARGV[1]

local waiting = redis.call('ZCARD', queue)
for _, id in ipairs(redis.call('ZRANGE', queue, 0, 999)) do
  waiting = waiting - redis.call('EXISTS', in_progress .. id)
end
return waiting
