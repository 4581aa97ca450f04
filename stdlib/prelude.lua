-- The deterministic prelude: runs once in every state, before anything else, with Lua's own libraries in place.
-- Afterwards nothing that a script can reach depends on the clock, on addresses, on hash order or on luck.
local native, core = ...

-- A function that is gone, and what to use instead.
local function gone(name, hint)
  return function() core.fail(name .. " is not there: runs must repeat", { hint = hint }) end
end

-- -- values and tables --------------------------------------------------------------------------------------------
pairs, next, print, tostring = native.pairs, native.next, native.print, native.tostring
setmetatable, collectgarbage = native.setmetatable, native.collectgarbage
table.sort = native.sort

for _, name in ipairs { "find", "match", "gmatch", "gsub", "format" } do string[name] = native[name] end
string.dump = nil
local strings = getmetatable("")
strings.__metatable = "string"

coroutine.resume, coroutine.wrap = native.resume, native.wrap

-- Lua's own text of a file is its address.
getmetatable(io.stdout).__tostring = function(file) return io.type(file) or "file" end

local stock_xpcall, guard_handler = xpcall, native.guard_handler
function xpcall(f, handler, ...) return stock_xpcall(f, guard_handler(handler), ...) end

-- -- numbers, clock, system ---------------------------------------------------------------------------------------
math.random = native.random
math.randomseed = gone("math.randomseed", "the seed is --seed; wane.randn and wane.uniform take a stream")

local clock = "wane.time(f) measures; its figures are no part of a result"
os.time, os.clock, os.date = gone("os.time", clock), gone("os.clock", clock), gone("os.date", clock)
os.difftime = nil
os.getenv = gone("os.getenv", "pass what varies as an argument of the script: local x = ...")
os.tmpname = gone("os.tmpname", "write to a path of your own")
os.execute = gone("os.execute", "run programs outside of the recipe")
os.exit = gone("os.exit", "return from the script, or call error")
os.setlocale = nil
io.popen = gone("io.popen", "run programs outside of the recipe")
io.tmpfile = gone("io.tmpfile", "write to a path of your own")

local traceback = debug.traceback
core.function_info = debug.getinfo -- for the library alone: where a user's function stands in its file
debug = { traceback = traceback }
package.loaded.debug = debug

-- -- chunks: text only --------------------------------------------------------------------------------------------
local stock_load, stock_loadfile = load, loadfile
function load(chunk, name, mode, ...)
  if mode ~= nil and mode ~= "t" then core.fail("load: mode is always \"t\"; compiled chunks are not read") end
  if select("#", ...) > 0 then return stock_load(chunk, name, "t", (...)) end
  return stock_load(chunk, name, "t")
end
function loadfile(path, mode, ...)
  if path == nil then core.fail("loadfile: argument 1 (path): expected a string, got nil") end
  if mode ~= nil and mode ~= "t" then core.fail("loadfile: mode is always \"t\"; compiled chunks are not read") end
  if select("#", ...) > 0 then return stock_loadfile(path, "t", (...)) end
  return stock_loadfile(path, "t")
end
function dofile(path)
  local chunk, problem = loadfile(path)
  if not chunk then error(problem, 0) end
  return chunk()
end

-- -- require: the standard library, then Lua files ----------------------------------------------------------------
local function search_library(name)
  if name ~= "wane" and name:sub(1, 5) ~= "wane." then return nil end
  local path = name == "wane" and "init.lua" or name:sub(6):gsub("%.", "/") .. ".lua"
  local text = native.stdlib_text(path)
  if not text then return "\n\tno file '" .. path .. "' in the standard library" end
  local chunk, problem = stock_load(text, "@wane/" .. path, "t")
  if not chunk then error(problem, 0) end
  return chunk, path
end

local function search_files(name)
  local path, tried = package.searchpath(name, package.path)
  if not path then return tried end
  local chunk, problem = stock_loadfile(path, "t")
  if not chunk then error(problem, 0) end
  return chunk, path
end

package.path = "./?.lua" .. (native.search_path and ";" .. native.search_path or "")
package.cpath = ""
package.loadlib = nil
local preload = package.searchers[1]
for i = #package.searchers, 1, -1 do package.searchers[i] = nil end
package.searchers[1], package.searchers[2], package.searchers[3] = preload, search_library, search_files
package.loaded["wane.core"] = core

-- -- globals: reading one that was never set is an error ----------------------------------------------------------
local nearest_key = native.nearest_key
native.setmetatable(_G, {
  __index = function(_, name)
    local near = type(name) == "string" and nearest_key(name, _G)
    local message = "unknown global '" .. tostring(name) .. "'"
    if near then message = message .. "; did you mean '" .. near .. "'?" end
    core.fail(message)
  end,
  __metatable = "globals",
})
