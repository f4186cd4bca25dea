-- Claim a name for `ttl_ms`, unless another holder has it. Answers 1 when it is the holder's.
local name = KEYS[1]
local holder, ttl_ms = unpack(ARGV)

local held_by = redis.call('GET', name)
if held_by and held_by ~= holder then
  return 0
end
redis.call('SET', name, holder, 'PX', ttl_ms)
return 1
