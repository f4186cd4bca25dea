-- Take the lease of a run that is not completed and that nobody holds; raise the fence.
-- Answers {document, attempt}, or nothing.
local lease, run = unpack(KEYS)
local ttl_ms, worker = unpack(ARGV)

local document, status = unpack(redis.call('HMGET', run, 'document', 'status'))
if not document or status == 'completed' or redis.call('EXISTS', lease) == 1 then
  return false
end
local attempt = redis.call('HINCRBY', run, 'attempt', 1)
redis.call('HSET', run, 'worker', worker)
redis.call('SET', lease, attempt, 'PX', ttl_ms)
return {document, attempt}
