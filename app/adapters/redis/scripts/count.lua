-- Count a run within a scope, if fewer than the limit were since the scope began, with its first run.
-- Answers 0 when it is among them, else the milliseconds until the scope begins anew.
local counted = KEYS[1]
local id, limit, ttl_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('SISMEMBER', counted, id) == 1 then
  return 0
end
local number = redis.call('SCARD', counted)
if number >= limit then
  return math.max(1, redis.call('PTTL', counted))
end
redis.call('SADD', counted, id)
if number == 0 then
  redis.call('PEXPIRE', counted, ttl_ms)
end
return 0
