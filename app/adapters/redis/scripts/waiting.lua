-- Runs of work that may start and were not taken, in the order in which they are to be taken if all goes on as now.
-- Answers for each: id, what holds it back, how many are at work there, its position there, ms since it may start,
-- whether it was begun ('1'); in turn.
look()
local works = find_due(function(id)
  return redis.call('EXISTS', line.in_progress .. id) == 1
end)
table.sort(works, goes_before)

local now, positions, answer = now_ms(), {}, {}
for _, run in ipairs(works) do
  local reason, at_work = what_holds(run)
  reason = reason or 'workers'
  local scope = reason .. ' ' .. (run[reason] or '')
  add(positions, scope)
  local words = {run.id, reason, at_work or 0, positions[scope], string.format('%.0f', now - run.at_ms),
    line.is_begun[run.id] and '1' or '0'}
  for _, word in ipairs(words) do
    answer[#answer + 1] = word
  end
end
return answer
