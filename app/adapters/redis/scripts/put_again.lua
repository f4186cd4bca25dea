-- Queue a stored run once more, to start `after_ms` from now, and forget what stands in its way: the mark that a worker
-- has it, arq's count of starts, an abort. To start now leaves a job that may start already its place; to start later
-- moves it. Answers 0 when there is no such run.
local run, job, queue, bell, in_progress, retry, abort = unpack(KEYS)
local id, job_s, after_ms, job_text = unpack(ARGV)

if redis.call('EXISTS', run) == 0 then
  return 0
end
local time = redis.call('TIME')
local now_ms = math.floor(time[1] * 1000 + time[2] / 1000)
local at_ms = string.format('%.0f', now_ms + after_ms)
redis.call('SET', job, job_text .. string.format('%.0f', now_ms) .. '}', 'EX', job_s)
redis.call('DEL', in_progress, retry)
redis.call('ZREM', abort, id)
if tonumber(after_ms) > 0 then
  redis.call('ZADD', queue, at_ms, id)
  return 1
end
redis.call('ZADD', queue, 'LT', at_ms, id)
redis.call('LPUSH', bell, id)
redis.call('LTRIM', bell, 0, 99)
return 1
