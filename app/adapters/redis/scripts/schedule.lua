-- What the scripts that look at the line have in common; put before them.
--
-- Who was taken and is not over is in `begun`: at work while its in-progress mark stands, else put off or handed back;
-- it holds its thread until it is over. Runs of work wait for their thread, for their repository and installation to
-- have fewer at work than they may, for a sandbox among those that the deployment may have, and for a worker. Who was
-- begun has its sandbox, also while it is put off. Commands that are only answered wait for nothing.
-- Next is who has the fewest of its installation at work; then who was begun; then whose installation was served
-- longest ago; then who has waited longest.
-- Looks at the thousand that have waited longest.
local line = {
  queue = KEYS[1], begun = KEYS[2], served = KEYS[3],
  in_progress = ARGV[1], run = ARGV[2], per_repo = tonumber(ARGV[3]), per_installation = tonumber(ARGV[4]),
  sandboxes = tonumber(ARGV[5]), sandboxes_in_use = 0,
  holds = {}, repos = {}, installations = {}, is_begun = {}, is_taken = {}, served_ms = {},
}

local function now_ms()
  local time = redis.call('TIME')
  return math.floor(time[1] * 1000 + time[2] / 1000)
end

-- Runs stored by an older version have no scopes and wait for a worker only.
local function read(id, at_ms)
  local thread, repo, installation, works, status =
    unpack(redis.call('HMGET', line.run .. id, 'thread', 'repo', 'installation', 'works', 'status'))
  return {
    id = id,
    at_ms = at_ms,
    thread = thread or '',
    repo = repo or '',
    installation = installation or '',
    works = works ~= '0' and status ~= 'completed',
  }
end

local function count(counts, scope)
  return counts[scope] or 0
end

local function add(counts, scope)
  counts[scope] = count(counts, scope) + 1
end

local function begin(run)
  if run.thread ~= '' then
    line.holds[run.thread] = run.id
  end
  add(line.repos, run.repo)
  add(line.installations, run.installation)
end

-- Learn who is at work and who is put off; drop from `begun` what is over.
local function look()
  for _, id in ipairs(redis.call('SMEMBERS', line.begun)) do
    local run = read(id)
    if not redis.call('ZSCORE', line.queue, id) or not run.works then
      redis.call('SREM', line.begun, id)
    else
      line.sandboxes_in_use = line.sandboxes_in_use + 1
      if redis.call('EXISTS', line.in_progress .. id) == 1 then
        begin(run)
      else
        line.is_begun[id] = true
        if run.thread ~= '' then
          line.holds[run.thread] = id
        end
      end
    end
  end
end

-- What keeps a run from being taken, and how many are at work there; nothing when only a worker is wanting.
local function what_holds(run)
  local holder = line.holds[run.thread]
  if holder and holder ~= run.id then
    return 'thread', 1
  elseif run.repo ~= '' and count(line.repos, run.repo) >= line.per_repo then
    return 'repo', count(line.repos, run.repo)
  elseif run.installation ~= '' and count(line.installations, run.installation) >= line.per_installation then
    return 'installation', count(line.installations, run.installation)
  elseif not line.is_begun[run.id] and line.sandboxes > 0 and line.sandboxes_in_use >= line.sandboxes then
    return 'sandboxes', line.sandboxes_in_use
  end
end

local function when_served(installation)
  if not line.served_ms[installation] then
    line.served_ms[installation] = tonumber(redis.call('ZSCORE', line.served, installation) or 0)
  end
  return line.served_ms[installation]
end

local function goes_before(run, other)
  local mine, others = count(line.installations, run.installation), count(line.installations, other.installation)
  if mine ~= others then
    return mine < others
  elseif (line.is_begun[run.id] or false) ~= (line.is_begun[other.id] or false) then
    return line.is_begun[run.id]
  end
  mine, others = when_served(run.installation), when_served(other.installation)
  if mine ~= others then
    return mine < others
  elseif run.at_ms ~= other.at_ms then
    return run.at_ms < other.at_ms
  end
  return run.id < other.id
end

-- Runs of work and answers that may start by Redis' clock and that nobody took, each the oldest first.
local function find_due(is_known)
  local works, answers = {}, {}
  local at_ms = string.format('%.0f', now_ms())
  local due = redis.call('ZRANGEBYSCORE', line.queue, '-inf', at_ms, 'WITHSCORES', 'LIMIT', 0, 1000)
  for place = 1, #due, 2 do
    local id = due[place]
    if not is_known(id) then
      local run = read(id, tonumber(due[place + 1]))
      local list = run.works and works or answers
      list[#list + 1] = run
    end
  end
  return works, answers
end

-- The place in the list of who may be taken next; nothing when all are held.
local function find_next(runs)
  local best
  for place, run in ipairs(runs) do
    if not line.is_taken[run.id] and not what_holds(run) and (not best or goes_before(run, runs[best])) then
      best = place
    end
  end
  return best
end
