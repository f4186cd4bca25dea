-- Have another run take an ended run's place. Answers the id of the first that did; nothing when there is no such run.
local run = KEYS[1]
local by = ARGV[1]

if redis.call('HGET', run, 'status') ~= 'completed' then
  return false
end
redis.call('HSETNX', run, 'superseded_by', by)
return redis.call('HGET', run, 'superseded_by')
