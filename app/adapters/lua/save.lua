-- Keep a run, if the lease is still its attempt's, and tell its followers. Answers 0 when it is not.
local lease, run, open, said = unpack(KEYS)
local id, attempt, document, status, repo, runs, keep_s, channel = unpack(ARGV)

if redis.call('GET', lease) ~= attempt then
  return 0
end
local before = redis.call('HGET', run, 'status')
redis.call('HSET', run, 'document', document, 'status', status)
redis.call('EXPIRE', run, keep_s)
if before ~= status then
  local at = redis.call('ZSCORE', runs .. ':', id)
  for _, owner in ipairs({'', repo}) do
    if before then
      redis.call('ZREM', runs .. owner .. ':' .. before, id)
    end
    if at then
      redis.call('ZADD', runs .. owner .. ':' .. status, at, id)
      redis.call('EXPIRE', runs .. owner .. ':' .. status, keep_s)
    end
  end
  if status == 'completed' then
    redis.call('ZREM', open, id)
    redis.call('DEL', said)
  end
end
redis.call('PUBLISH', channel, id)
return 1
