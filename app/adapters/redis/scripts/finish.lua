-- A worker is done with a job: it is over, or may start again `after_ms` from now, holding its thread unless it steps
-- aside. Rings for those that waited for it to end. With `works` it waits in line from then on, like any run of work.
-- Does nothing for a worker whose mark is gone: the job was put again, and is not this worker's to take off the queue.
local queue, job, in_progress, retry, run, bell, begun = unpack(KEYS)
local id, token, is_over, after_ms, job_s, works, steps_aside = unpack(ARGV)

if redis.call('GET', in_progress) ~= token then
  return 0
end
redis.call('DEL', in_progress, retry)
if steps_aside == '1' or is_over == '1' then
  redis.call('SREM', begun, id)
end
if is_over == '1' then
  redis.call('ZREM', queue, id)
  redis.call('DEL', job)
elseif tonumber(after_ms) > 0 then
  local time = redis.call('TIME')
  local at_ms = math.floor(time[1] * 1000 + time[2] / 1000) + after_ms
  redis.call('EXPIRE', job, job_s)
  redis.call('ZADD', queue, 'XX', string.format('%.0f', at_ms), id)
  if works == '1' then
    redis.call('HSET', run, 'works', '1')
  end
end
if redis.call('EXISTS', queue) == 1 then
  redis.call('LPUSH', bell, id)
  redis.call('LTRIM', bell, 0, 99)
end
return 1
