-- Queue a stored run once more and forget what stands in its way: arq's mark that a worker has it, its count of
-- starts, an abort. A job that waits already keeps its place. Answers 0 when there is no such run.
local run, job, queue, bell, in_progress, retry, abort = unpack(KEYS)
local id, job_s, job_text = unpack(ARGV)

if redis.call('EXISTS', run) == 0 then
  return 0
end
local time = redis.call('TIME')
local at_ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
redis.call('DEL', in_progress, retry)
redis.call('ZREM', abort, id)
redis.call('SET', job, job_text .. at_ms .. '}', 'EX', job_s)
redis.call('ZADD', queue, 'LT', at_ms, id)
redis.call('LPUSH', bell, id)
redis.call('LTRIM', bell, 0, 99)
return 1
