-- The runner behind `wane test`: files of cases, one line per file, failures with their place, a last line with sums.
--
-- In a file:  case("name", function() ... end)   with the helpers below as globals.
local core = require "wane.core"

local counts  -- of the file that runs
local skipped = setmetatable({}, { __tostring = function() return "skipped" end })

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "table" and getmetatable(value) == nil then
    local ok, text = pcall(core.json, value)
    if ok then return text end
  end
  return tostring(value)
end

local function deep_equal(a, b)
  if rawequal(a, b) then return true end
  if core.is_tensor(a) and core.is_tensor(b) then return a:same(b) end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not deep_equal(value, rawget(b, key)) then return false end end
  for key in pairs(b) do if rawget(a, key) == nil then return false end end
  return true
end

local function failed(message) error({ failure = message, place = core.origin() }, 0) end

local helpers = {}

function helpers.check(condition, message)
  if not condition then failed(message or "check failed") end
  return condition
end

function helpers.equal(a, b, message)
  if not deep_equal(a, b) then
    failed((message and message .. ": " or "") .. "expected " .. show(b) .. ", got " .. show(a))
  end
end

local function near_numbers(a, b, tolerance, path)
  if type(a) == "table" and type(b) == "table" then
    if #a ~= #b then return "lengths " .. #a .. " and " .. #b .. path end
    for i = 1, #a do
      local problem = near_numbers(a[i], b[i], tolerance, path .. "[" .. i .. "]")
      if problem then return problem end
    end
    return nil
  end
  if type(a) ~= "number" or type(b) ~= "number" then return show(a) .. " is not near " .. show(b) .. path end
  if a ~= a and b ~= b or a == b then return nil end
  if math.abs(a - b) <= tolerance * math.max(1, math.abs(b)) then return nil end
  return ("expected %.9g, got %.9g%s"):format(b, a, path == "" and "" or " at " .. path)
end

-- a and b are numbers, nested lists or tensors; the tolerance is relative above 1, absolute below.
function helpers.near(a, b, tolerance, message)
  if core.is_tensor(a) then a = a:totable() end
  if core.is_tensor(b) then b = b:totable() end
  local problem = near_numbers(a, b, tolerance or 1e-6, "")
  if problem then failed((message and message .. ": " or "") .. problem) end
end

-- Calls fn, which must raise; `expected` is part of the message (its whole text, notes and hint included).
function helpers.fails(fn, expected, ...)
  local ok, problem = pcall(fn, ...)
  if ok then failed("no error, expected: " .. tostring(expected)) end
  local text = tostring(problem)
  if expected and not text:find(expected, 1, true) then
    failed("another message\n    expected  " .. expected .. "\n    got       " .. text)
  end
  return problem
end

function helpers.skip(reason)
  counts.reason = reason
  error(skipped, 0)
end

-- The path of a shared data file, or the case is skipped where there is none.
function helpers.shared_data(path)
  for _, root in ipairs { core.environment("WANE_SHARED") or "../shared", counts.folder .. "/../../../shared",
                        counts.folder .. "/../../shared", "../shared" } do
    local full = root and root .. "/data/" .. path
    if full and core.exists(full) then return full end
  end
  helpers.skip("no shared data")
end

-- A path below a folder of this file's own, which is removed when its cases are done.
function helpers.scratch(name)
  if not counts.scratch then
    counts.scratch = ("%s/wane-test-%d"):format(core.environment "TMPDIR" or "/tmp", math.floor(core.seconds() * 1e9))
    core.mkdir(counts.scratch)
  end
  return counts.scratch .. "/" .. name
end

-- The path of a file of the source tree, given from its root.
function helpers.source(path)
  return counts.folder .. "/../../" .. path
end

-- What fn gives with so many threads.
function helpers.threads(count, fn)
  local before = core.set_threads(count)
  local leave <close> = setmetatable({}, { __close = function() core.set_threads(before) end })
  return fn()
end

-- What fn gives when each operation runs alone.
function helpers.unfused(fn)
  local before = core.set_fusing(false)
  local leave <close> = setmetatable({}, { __close = function() core.set_fusing(before) end })
  return fn()
end

local function remove(path)
  if core.is_folder(path) then
    for _, name in ipairs(core.list(path)) do remove(path .. "/" .. name) end
  end
  os.remove(path)
end

local function run_case(name, fn)
  local ok, problem = xpcall(fn, function(problem)
    if type(problem) == "table" then return problem end
    return { failure = tostring(problem), place = nil }
  end)
  if ok then
    counts.passed = counts.passed + 1
  elseif rawequal(problem, skipped) then
    counts.skipped = counts.skipped + 1
    print("  skipped: " .. counts.reason .. " (" .. name .. ")")
  else
    counts.failed = counts.failed + 1
    local place = problem.place and problem.place .. ": " or ""
    print("  FAILED " .. name .. "\n    " .. place .. problem.failure)
  end
end

local function run_file(path)
  core.restart_streams() -- what a file draws does not depend on the files before it
  counts = { passed = 0, failed = 0, skipped = 0, folder = path:match("^(.*)/[^/]*$") or "." }
  local environment = setmetatable({}, { __index = _G })
  for name, helper in pairs(helpers) do environment[name] = helper end
  environment.case = run_case
  local chunk, problem = loadfile(path, "t", environment)
  if not chunk then
    counts.failed = 1
    print("  FAILED to load\n    " .. problem)
  else
    local ok, raised = pcall(chunk)
    if not ok and rawequal(raised, skipped) then
      counts.skipped = counts.skipped + 1
      print("  skipped: " .. counts.reason)
    elseif not ok then
      counts.failed = counts.failed + 1
      local text = type(raised) == "table" and raised.failure or tostring(raised)
      print("  FAILED outside of a case\n    " .. text)
    end
  end
  if counts.scratch then remove(counts.scratch) end
  print(("%s: %d passed, %d failed, %d skipped"):format(path, counts.passed, counts.failed, counts.skipped))
  return counts
end

local function files_of(paths)
  local files = {}
  if #paths == 0 then paths = { "tests/lua" } end
  for _, path in ipairs(paths) do
    if core.is_folder(path) then
      for _, name in ipairs(core.list(path)) do
        if name:match("%.lua$") then files[#files + 1] = path .. "/" .. name end
      end
    elseif core.exists(path) then
      files[#files + 1] = path
    else
      core.fail("test: no file or folder '" .. path .. "'", { fault = 66 })
    end
  end
  return files
end

-- Runs files or the files of folders; true when nothing failed.
return function(paths)
  local sums = { passed = 0, failed = 0, skipped = 0 }
  for _, path in ipairs(files_of(paths)) do
    local found = run_file(path)
    for name in pairs(sums) do sums[name] = sums[name] + found[name] end
  end
  print(("%d passed, %d failed, %d skipped"):format(sums.passed, sums.failed, sums.skipped))
  return sums.failed == 0
end
