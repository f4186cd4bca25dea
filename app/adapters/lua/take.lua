-- Take jobs that may start by Redis' clock, `room` at most, oldest first, and mark them with the worker's token.
-- Answers their ids and scores in turn. Asked again with the same token, answers the same ones again.
local queue = KEYS[1]
local in_progress, room, marked_ms, token = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local at_work = {}
for known = 5, #ARGV do
  at_work[ARGV[known]] = true
end
local time = redis.call('TIME')
local now_ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))

local taken = {}
local due = redis.call('ZRANGEBYSCORE', queue, '-inf', now_ms, 'WITHSCORES', 'LIMIT', 0, 1000)
for place = 1, #due, 2 do
  if #taken == 2 * room then
    break
  end
  local id, mark = due[place], in_progress .. due[place]
  if not at_work[id] and (redis.call('SET', mark, token, 'NX', 'PX', marked_ms) or redis.call('GET', mark) == token) then
    taken[#taken + 1] = id
    taken[#taken + 1] = due[place + 1]
  end
end
return taken
