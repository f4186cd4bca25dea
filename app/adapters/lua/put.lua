-- Store a new run, queue its job, wake a worker: all of it or nothing.
-- Answers 1, or 0 when this id was seen before. Time is Redis' own, so that no machine's clock delays a job.
local seen, run, open, latest, job, queue, bell = unpack(KEYS)
local id, document, status, repo, runs, keep_s, seen_s, job_s, job_text, thread, installation, works = unpack(ARGV)

if not redis.call('SET', seen, '1', 'NX', 'EX', seen_s) then
  return 0
end

local function text(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local at = time[1] * 1000000 + time[2]
while redis.call('ZCOUNT', runs .. ':', text(at), text(at)) > 0 do
  at = at + 1
end

local before = redis.call('HGET', run, 'status')
redis.call('HSET', run, 'document', document, 'status', status)
redis.call('HSET', run, 'thread', thread, 'repo', repo, 'installation', installation, 'works', works)
redis.call('EXPIRE', run, keep_s)
for _, owner in ipairs({'', repo}) do
  if before then
    redis.call('ZREM', runs .. owner .. ':' .. before, id)
  end
  for _, list in ipairs({runs .. owner .. ':', runs .. owner .. ':' .. status}) do
    redis.call('ZADD', list, text(at), id)
    redis.call('ZREMRANGEBYSCORE', list, '-inf', text(at - keep_s * 1000000))
    redis.call('EXPIRE', list, keep_s)
  end
end
redis.call('ZADD', open, text(at), id)
redis.call('ZREMRANGEBYSCORE', open, '-inf', text(at - keep_s * 1000000))
if latest ~= '' then
  redis.call('SET', latest, id, 'EX', keep_s)
end

local at_ms = text(math.floor(at / 1000))
redis.call('SET', job, job_text .. at_ms .. '}', 'EX', job_s)
redis.call('ZADD', queue, at_ms, id)
redis.call('LPUSH', bell, id)
redis.call('LTRIM', bell, 0, 99)
return 1
