-- Keep what was said in a task, if the lease is still this attempt's: the first `kept` messages are there already and
-- the others are given. `head` names the task and all messages. Answers 0 when the lease is another's. Repeatable.
local lease, said = unpack(KEYS)
local attempt, keep_s, head, kept = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

if redis.call('GET', lease) ~= attempt then
  return 0
end
if kept == 0 then
  redis.call('DEL', said)
  redis.call('RPUSH', said, head)
else
  redis.call('LTRIM', said, 0, kept)
  redis.call('LSET', said, 0, head)
end
for new = 5, #ARGV do
  redis.call('RPUSH', said, ARGV[new])
end
redis.call('EXPIRE', said, keep_s)
return 1
