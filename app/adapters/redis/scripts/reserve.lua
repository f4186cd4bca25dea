-- Set dollars aside for one run within a scope, if the others leave enough under the limit. Answers 1 when done.
local spent = KEYS[1]
local id, usd, limit, keep_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local total = usd
local fields = redis.call('HGETALL', spent)
for i = 1, #fields, 2 do
  if fields[i] ~= id then
    total = total + tonumber(fields[i + 1])
  end
end
if total > limit then
  return 0
end
redis.call('HSET', spent, id, ARGV[2])
redis.call('EXPIRE', spent, keep_s)
return 1
