-- Keep a run, if the lease is still its attempt's, and tell its followers. Answers 0 when it is not.
local lease, run, open, said = unpack(KEYS)
local id, attempt, document, status, repo, runs, keep_s, channel, thread, branch = unpack(ARGV)

if redis.call('GET', lease) ~= attempt then
  return 0
end
local place, listed = lists.place(status, branch), redis.call('HGET', run, 'listed')
redis.call('HSET', run, 'document', document, 'status', status, 'listed', place)
redis.call('EXPIRE', run, keep_s)
if listed ~= place then
  local at = redis.call('ZSCORE', runs .. ':', id)
  lists.remove(runs, lists.scopes(repo, thread, lists.branch_of(listed)), id)
  if at then
    lists.add(runs, lists.scopes(repo, thread, branch), status, id, tonumber(at), tonumber(keep_s))
  end
  if status == 'completed' then
    redis.call('ZREM', open, id)
    redis.call('DEL', said)
  end
end
redis.call('PUBLISH', channel, id)
return 1
