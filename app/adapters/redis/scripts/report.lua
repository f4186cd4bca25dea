-- Note that a worker is alive, and why it takes no runs ('' when it does). Forgets workers that stopped reporting.
local workers = KEYS[1]
local name, why, lives_s = ARGV[1], ARGV[2], tonumber(ARGV[3])

local now = tonumber(redis.call('TIME')[1])
local known = redis.call('HGETALL', workers)
for i = 1, #known, 2 do
  if tonumber(string.match(known[i + 1], '^%d+')) < now - lives_s then
    redis.call('HDEL', workers, known[i])
  end
end
redis.call('HSET', workers, name, now .. ' ' .. why)
redis.call('EXPIRE', workers, lives_s)
return 1
