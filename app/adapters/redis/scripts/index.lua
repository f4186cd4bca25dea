-- List a run anew that an older version stored, under its thread and its branch, too. Answers 1, or 0 when it was saved
-- by this version meanwhile or is not there any more. `listed` is where it was listed when it was read, '' for nowhere.
local run = KEYS[1]
local id, repo, thread, branch, listed, runs, keep_s = unpack(ARGV)

local status, place = unpack(redis.call('HMGET', run, 'status', 'listed'))
local at = redis.call('ZSCORE', runs .. ':', id)
if not status or not at or (place or '') ~= listed then
  return 0
end
redis.call('HSET', run, 'listed', lists.place(status, branch))
lists.remove(runs, lists.scopes(repo, thread, lists.branch_of(place)), id)
lists.add(runs, lists.scopes(repo, thread, branch), status, id, tonumber(at), tonumber(keep_s))
return 1
