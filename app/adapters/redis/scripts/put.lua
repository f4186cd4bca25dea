-- Store a new run, queue its job, wake a worker: all of it or nothing.
-- Answers 1, or 0 when this id was seen before. Time is Redis' own, so that no machine's clock delays a job.
local seen, run, open, latest, job, queue, bell = unpack(KEYS)
local id, document, status, repo, runs, keep_s, seen_s, job_s, job_text, thread, installation, works, branch = unpack(ARGV)

if not redis.call('SET', seen, '1', 'NX', 'EX', seen_s) then
  return 0
end

local time = redis.call('TIME')
local at = time[1] * 1000000 + time[2]
while redis.call('ZCOUNT', runs .. ':', lists.text(at), lists.text(at)) > 0 do
  at = at + 1
end

lists.remove(runs, lists.scopes(repo, thread, lists.branch_of(redis.call('HGET', run, 'listed'))), id)
redis.call('HSET', run, 'document', document, 'status', status, 'listed', lists.place(status, branch))
redis.call('HDEL', run, 'superseded_by')
redis.call('HSET', run, 'thread', thread, 'repo', repo, 'installation', installation, 'works', works)
redis.call('EXPIRE', run, keep_s)
lists.add(runs, lists.scopes(repo, thread, branch), status, id, at, tonumber(keep_s))
redis.call('ZADD', open, lists.text(at), id)
redis.call('ZREMRANGEBYSCORE', open, '-inf', lists.text(at - keep_s * 1000000))
if latest ~= '' then
  redis.call('SET', latest, id, 'EX', keep_s)
end

local at_ms = lists.text(math.floor(at / 1000))
redis.call('SET', job, job_text .. at_ms .. '}', 'EX', job_s)
redis.call('ZADD', queue, at_ms, id)
redis.call('LPUSH', bell, id)
redis.call('LTRIM', bell, 0, 99)
return 1
