-- Take jobs that may start: answers, `asides` at most; then runs of work, `room` at most, by the rules of the line.
-- Marks them with the worker's token. Answers id, moment and whether it is work ('1'), in turn.
-- Asked again with the same token, answers the same ones again. The ids at the end are at work with this worker.
local room, asides, marked_ms, token = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]

local at_work = {}
for known = 10, #ARGV do
  at_work[ARGV[known]] = true
end

local taken = {}

local function give(run)
  for _, word in ipairs({run.id, string.format('%.0f', run.at_ms), run.works and '1' or '0'}) do
    taken[#taken + 1] = word
  end
end

look()
local works, answers = find_due(function(id)
  local mark = redis.call('GET', line.in_progress .. id)
  line.is_taken[id] = mark == token
  return at_work[id] or (mark and mark ~= token)
end)
for _, runs in ipairs({works, answers}) do
  for _, run in ipairs(runs) do
    if line.is_taken[run.id] then
      give(run)
      room, asides = room - (run.works and 1 or 0), asides - (run.works and 0 or 1)
    end
  end
end
for _, run in ipairs(answers) do
  if asides > 0 and not line.is_taken[run.id] then
    asides = asides - 1
    redis.call('SET', line.in_progress .. run.id, token, 'PX', marked_ms)
    give(run)
  end
end
local served_ms = now_ms()
while room > 0 do
  local place = find_next(works)
  if not place then
    break
  end
  local run = works[place]
  room, line.is_taken[run.id] = room - 1, true
  redis.call('SET', line.in_progress .. run.id, token, 'PX', marked_ms)
  redis.call('SADD', line.begun, run.id)
  if not line.is_begun[run.id] then
    line.sandboxes_in_use = line.sandboxes_in_use + 1
  end
  redis.call('ZADD', line.served, served_ms, run.installation)
  line.served_ms[run.installation] = served_ms
  begin(run)
  give(run)
end
redis.call('ZREMRANGEBYSCORE', line.served, '-inf', string.format('%.0f', served_ms - 86400000))
return taken
