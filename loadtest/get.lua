-- GET by id, ids at random out of a file, one a line: wrk -s get.lua URL -- ids.txt
local ids = {}

function init(args)
  for line in io.lines(args[1]) do ids[#ids + 1] = line end
  math.randomseed(os.time())
end

function request()
  return wrk.format("GET", "/api/v1/orders/" .. ids[math.random(#ids)])
end
