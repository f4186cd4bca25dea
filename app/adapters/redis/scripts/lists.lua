-- The lists that a run is in; put before the scripts that write runs. A run is listed among all runs and under its
-- repository, its thread and its branch (as far as it has them): each has a list by status, and one of every status.
local lists = {}

function lists.text(number)
  return string.format('%.0f', number)
end

function lists.scopes(repo, thread, branch)
  local scopes = {'', repo}
  if thread and thread ~= '' then
    scopes[#scopes + 1] = thread
  end
  if branch and branch ~= '' then
    scopes[#scopes + 1] = repo .. '@' .. branch
  end
  return scopes
end

-- What a run remembers of where it is listed. An older version, running beside this one, does not write it.
function lists.place(status, branch)
  return status .. '@' .. branch
end

function lists.branch_of(place)
  return place and string.match(place, '@(.*)$') or ''
end

-- List a run that was put at `at` (microseconds); what was put `keep_s` before it is forgotten there.
function lists.add(runs, scopes, status, id, at, keep_s)
  for _, scope in ipairs(scopes) do
    for _, list in ipairs({runs .. scope .. ':', runs .. scope .. ':' .. status}) do
      redis.call('ZADD', list, lists.text(at), id)
      redis.call('ZREMRANGEBYSCORE', list, '-inf', lists.text(at - keep_s * 1000000))
      redis.call('EXPIRE', list, keep_s)
    end
  end
end

function lists.remove(runs, scopes, id)
  for _, scope in ipairs(scopes) do
    for _, status in ipairs({'', 'queued', 'in_progress', 'completed'}) do
      redis.call('ZREM', runs .. scope .. ':' .. status, id)
    end
  end
end
