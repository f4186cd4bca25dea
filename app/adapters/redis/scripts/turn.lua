-- Take the next turn in a scope: for each pair of count and microseconds in ARGV, so many turns in so long a window.
-- Answers the microseconds until the turn; when that is longer than `longest_us`, none was taken.
local turns = KEYS[1]
local id, longest_us, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function text(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn, most = now, 0
for pair = 4, #ARGV, 2 do
  local count, window = tonumber(ARGV[pair]), tonumber(ARGV[pair + 1])
  most = math.max(most, count)
  local before = redis.call('ZRANGE', turns, -count, -count, 'WITHSCORES')
  if before[2] then
    turn = math.max(turn, tonumber(before[2]) + window)
  end
end
if turn - now <= longest_us then
  redis.call('ZADD', turns, text(turn), id)
  redis.call('ZREMRANGEBYRANK', turns, 0, -most - 1)
  redis.call('PEXPIRE', turns, keep_ms)
end
return text(turn - now)
