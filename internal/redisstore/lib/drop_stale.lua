-- Removes stale entries from the queue of a mutex or of permits. It uses queue, waiters,
-- queue_len and live_entry of the file that includes it.

-- Drops the stale entries at the beginning of tokens, and returns their number. The entry of
-- spared, if not nil, counts as live.
local function drop_stale(tokens, spared)
  local stale, entries = 0, redis.call('HMGET', waiters, unpack(tokens))
  while stale < #tokens and tokens[stale + 1] ~= spared and not live_entry(entries[stale + 1]) do stale = stale + 1 end
  if stale > 0 then
    redis.call('ZREM', queue, unpack(tokens, 1, stale))
    redis.call('HDEL', waiters, unpack(tokens, 1, stale))
    queue_len = queue_len - stale
  end
  return stale
end

-- Drops a batch of stale entries directly ahead of token, which is queued. So the next live
-- waiter behind a stale entry drops it, long before a release could find very many.
local function drop_stale_ahead(token)
  local rank = redis.call('ZREVRANK', queue, token) + 1
  local ahead = redis.call('ZREVRANGE', queue, rank, rank)[1]
  if ahead and not live_entry(redis.call('HGET', waiters, ahead)) then
    drop_stale(redis.call('ZREVRANGE', queue, rank, rank + BATCH - 1))
  end
end

