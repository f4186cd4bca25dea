-- Hold the lease for `ttl_ms` more if it is still this attempt's; 0 lets it go. Answers 0 when it is not.
local lease = KEYS[1]
local attempt, ttl_ms = unpack(ARGV)

if redis.call('GET', lease) ~= attempt then
  return 0
end
return redis.call('PEXPIRE', lease, ttl_ms)
