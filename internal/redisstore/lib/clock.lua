-- The server's time, read once: us in microseconds, ms in milliseconds.
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = (us - us % 1000) / 1000
