-- redis-cli -e --eval write.lua '{jobs}:term' '{jobs}:state' , 7 'a step'
-- Redis runs it without interruption. The braces keep both keys on one node of a cluster.
local seen, mine = redis.call('GET', KEYS[1]), ARGV[1]
if seen and tonumber(seen) > tonumber(mine) then
  return redis.error_reply('FENCED term ' .. mine .. ' is over, ' .. KEYS[1] .. ' has seen term ' .. seen)
end
redis.call('SET', KEYS[1], mine)
return redis.call('SET', KEYS[2], ARGV[2])
