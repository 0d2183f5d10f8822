-- Sends whole requests from a file, in turn: each is its length in bytes on a line, and then its bytes.
local requests = {}
local index = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for line in function() return file:read("*l") end do
    requests[#requests + 1] = file:read(tonumber(line))
  end
  file:close()
end

function request()
  index = index % #requests + 1
  return requests[index]
end

function done(summary)
  local e = summary.errors
  io.write(string.format(
    'result {"requests":%d,"microseconds":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.timeout, e.status))
end
