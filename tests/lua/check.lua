-- `wane check`: what it finds in a script, what it must not find, and that it is silent about all of the scripts here.
local core = require "wane.core"
local checker = require "wane.check"
local lua_tokens = require "wane.lua_tokens"

-- "line: text" of all findings, notes marked.
local function found(text)
  local lines = {}
  for i, finding in ipairs(checker.text(text, "s.lua")) do
    lines[i] = ("%d: %s%s"):format(finding.line, finding.note and "note: " or "", finding.text)
  end
  return table.concat(lines, "\n")
end

local HEAD = 'local wane = require "wane"\n'

local function finds(body, expected) equal(found(HEAD .. body), expected, body) end

case("what is no Lua is a finding at its line", function()
  equal(found "x = 1\ny = = 2", "2: unexpected symbol near '='")
  equal(found "for i = 1, 3 do", "1: 'end' expected near <eof>")
  equal(found "#!/usr/bin/env wane\nlocal x = 1\nreturn x", "")
end)

case("unknown names of the module, with the nearest", function()
  finds("wane.zeroes { 2 }", "2: wane: no 'zeroes'; did you mean 'zeros'?")
  finds("local f = wane.quantise", "2: wane: no 'quantise'; did you mean 'quantize'?")
  equal(found 'local w = require("wane")\nw.zeroes(2)\nwane = nil', "2: wane: no 'zeroes'; did you mean 'zeros'?")
  equal(found 'wane.zeroes(2)', "", "without require it is some other table")
  finds("local wane = {}\nwane.anything()", "")
  finds("local t = { wane = 1 }\nt.wane.anything()", "")
  finds('print "wane.zeroes" -- wane.zeroes', "")
end)

case("names that are not supported yet are notes", function()
  finds('local m = wane.prefix(nil, "x")', "2: note: not supported yet: wane.prefix")
  finds("local a, b = wane.prefix, wane.prefix", "2: note: not supported yet: wane.prefix")
end)

case("unknown options, where the callee's are known", function()
  finds("local q = wane.int { bit = 4 }", "2: wane.int: no option 'bit'; did you mean 'bits'?")
  finds("local q = wane.int { bits = 4 }\nlocal r = q { group_siz = 64 }", "3: wane.int: no option 'group_siz'; did you mean 'group_size'?")
  finds("local x = wane.randn({ 2, 2 }, { dtyp = 'f32' })", "2: wane.randn: no option 'dtyp'; did you mean 'dtype'?")
  finds("local q = wane.int { observer = wane.mse { grids = 3 } }", "2: wane.mse: no option 'grids'; did you mean 'grid'?")
  finds('local m = wane.load("x")\nlocal t = m:generate { lenght = 4 }', "3: model:generate: no option 'lenght'; did you mean 'length'?")
  finds('local m = wane.load "x"\nm:with("norm", { wieght = 1 })', "3: model:with: no option 'wieght'; did you mean 'weight'?")
  finds('local m = wane.load "x"\nwane.observe(m, "t", { wane.absmax }, { layer = "*" })', "3: wane.observe: no option 'layer'; did you mean 'layers'?")
  finds('local t = wane.table("t", { "a" })\nt:chart { X = "a", y = "a" }', "3: table:chart: no option 'X'; did you mean 'x'?")
  finds('local Q = wane.quantizer("q", { bits = 4, anything = 1 })\nlocal v = Q { anything = 2, per = "tensor" }', "")
  finds('local x = wane.randn({ 2, f = function() return { any = 1 } end, other = 2 })', "")
  finds("local options = { any = 1 }\nwane.randn({ 2 }, options)", "")
end)

case("unknown fields and methods of what is made in the text", function()
  finds('local m = wane.load "x"\nm:genrate()', "3: model: no field or method 'genrate'; did you mean 'generate'?")
  finds("local x = wane.ones(2)\nprint((x * 2):absmx())", "")
  finds("local x = wane.ones(2) * 2\nprint(x:absmx(), x.codes, x:abs():summ())",
        "3: tensor: no field or method 'absmx'; did you mean 'absmax'?\n3: tensor: no field or method 'summ'; did you mean 'sum'?")
  finds('local m = wane.load "x"\nlocal c = wane.compare(m, m, wane.task("perplexity", "x"))\nprint(c.kl.valu)',
        "4: score: no field or method 'valu'; did you mean 'value'?")
  finds('local C = wane.module "C"\nlocal c = C()\nprint(c.anything, c:whatever())', "")
  finds('local m = wane.load "x"\nm = other\nm:genrate()', "")
end)

case("`if` on a tensor", function()
  local always = "3: 'if' on the tensor 'x' always holds"
  for _, condition in ipairs { "x", "not x", "x:gt(0)", "(x * 2)", "x - 1", "-x", "x[1]", "flag and x:gt(0)", "x:sum(1)",
                               "flag and x or flag" } do
    finds(("local x, flag = wane.ones(2), ...\nif %s then print(1) end"):format(condition), always)
  end
  finds("local x = wane.ones(2)\nwhile x:gt(0) do x = x - 1 end", "3: 'while' on the tensor 'x' always holds")
  finds("local x = wane.ones(2)\nif y then z() elseif x then z() end", "3: 'elseif' on the tensor 'x' always holds")
  for _, condition in ipairs { "x:gt(0):any()", "x:sum() > 3", "x.shape[1]", "x:sum()", "#x", "x:same(x)", "x:item()", "x ~= nil",
                               "f(x)", "x:quantile(0.5)", "x.dtype == 'f32'" } do
    finds(("local x = wane.ones(2)\nif %s then print(1) end"):format(condition), "")
  end
end)

case("`==` on a tensor", function()
  finds("local x = wane.ones(2)\nlocal mask = x == 0", "3: '==' on the tensor 'x' compares no elements")
  finds("local x = wane.ones(2)\nlocal mask = 0 ~= x * 2", "3: '~=' on the tensor 'x' compares no elements")
  finds("local x = wane.ones(2)\nreturn x:abs() == x:abs()", "3: '==' on the tensor 'x' compares no elements")
  for _, comparison in ipairs { "x == nil", "x:sum() == 2", "x.shape[1] == 2", "#x == 2", "x:item() == 1", "x:any() == true" } do
    finds("local x = wane.ones(2)\nreturn " .. comparison, "")
  end
end)

case("what a name stands for follows its blocks", function()
  finds("local x = 1\ndo local x = wane.ones(2) end\nif x == 1 then return end", "")
  finds("local x = wane.ones(2)\nlocal function f(x) return x == 1 end\nreturn x == 1", "4: '==' on the tensor 'x' compares no elements")
  finds("local x = wane.ones(2)\nfor x = 1, 3 do print(x == 1) end", "")
  finds("local x\nif f() then x = wane.ones(2) end\nif x then return end", "")
  finds("local x = wane.ones(2)\nx = x + 1\nif x then return end", "4: 'if' on the tensor 'x' always holds")
  finds("local x = wane.ones(2)\nif f() then x = nil end\nif x then return end", "")
  finds("local x <const>, y = wane.ones(2), 3\nreturn x == 1, y == 3", "3: '==' on the tensor 'x' compares no elements")
  finds("repeat local x = wane.ones(2) until true\nreturn x == 1", "")
end)

case("functions of quantizers, observers and solvers of one's own", function()
  local quantizer = 'local Q = wane.quantizer("q", { bits = 4 })\n'
  local traced = "has one answer for all elements; it is traced once"
  finds(quantizer .. "function Q:encode(w, p)\n  if w then return w end\nend", "4: 'if' on the tensor 'w' " .. traced)
  finds(quantizer .. "function Q:decode(c, p)\n  local x = c * p.scale\n  if x:lt(0) then return x end\nend", "5: 'if' on the tensor 'x' " .. traced)
  finds(quantizer .. "function Q:encode(w, p)\n  return p.scale == 0\nend", "4: '==' on the tensor 'p' " .. traced)
  finds(quantizer .. "function Q:encode(w, p)\n  if p.zero then return w end\n  return w\nend", "")
  finds(quantizer .. "function Q:fit(w)\n  if w:gt(0) then return {} end\nend", "4: 'if' on the tensor 'w' always holds")
  finds('local O = wane.observer("o", {})\nfunction O:see(x) self.any = x == 0 end', "3: '==' on the tensor 'x' compares no elements")
  finds("local Other = {}\nfunction Other:encode(w) if w then return w end end", "")
end)

case("tokens", function()
  local words = {}
  for i, token in ipairs(lua_tokens.of 'a.b = [==[x]] ]==] .. "q\\"--" --[[ c\n ]] // 0x1F + 1e-5 -- end') do words[i] = token.text end
  equal(words, { "a", ".", "b", "=", "[==[x]] ]==]", "..", '"q\\"--"', "//", "0x1F", "+", "1e-5" })
  local lines = {}
  for i, token in ipairs(lua_tokens.of("x\n--[[\n\n]] y [[\n]] z", 10)) do lines[i] = token.line end
  equal(lines, { 10, 13, 13, 14 })
  equal(lua_tokens.string(lua_tokens.of '"wane"'[1]), "wane")
  equal(lua_tokens.string(lua_tokens.of "[=[\nwane]=]"[1]), "wane")
  equal(lua_tokens.string(lua_tokens.of "wane"[1]), nil)
end)

case("the command prints findings by file and line; its result is the exit code", function()
  local good, bad, note = scratch "good.lua", scratch "bad.lua", scratch "note.lua"
  core.publish(good, HEAD .. "print(wane.ones(2))\n")
  core.publish(bad, HEAD .. "local x = wane.ones(2)\nif x then print(wane.zeroes(1)) end\n")
  core.publish(note, HEAD .. "local m = wane.prefix\n")
  local function run(...)
    local lines, before = {}, print
    rawset(_G, "print", function(line) lines[#lines + 1] = line end)
    local ok, code = pcall(checker.command, ...)
    rawset(_G, "print", before)
    return ok and code or code.fault, table.concat(lines, "\n")
  end
  equal({ run(good) }, { 0, "" })
  equal({ run(note) }, { 0, note .. ":2: note: not supported yet: wane.prefix" })
  equal({ run(good, bad) }, { 1, ("%s:3: 'if' on the tensor 'x' always holds\n  hint   x:any() or x:all() gives true or "
    .. "false\n%s:3: wane: no 'zeroes'; did you mean 'zeros'?"):format(bad, bad) })
  equal(run(scratch "missing.lua"), 66)
end)

local function scripts_of(folder)
  local paths = {}
  for _, name in ipairs(core.list(folder)) do
    if name:find "%.lua$" then paths[#paths + 1] = folder .. "/" .. name end
  end
  check(#paths > 0, folder)
  return paths
end

local function no_error_in(paths)
  for _, path in ipairs(paths) do
    for _, finding in ipairs(checker.text(core.read(path), path)) do
      check(finding.note, ("%s:%d: %s"):format(path, finding.line, finding.text))
      check(finding.text:find "^not supported yet: ", finding.text)
    end
  end
end

case("a script without one of its lines, or cut off, is judged as any other", function()
  local judged = 0
  for _, path in ipairs(scripts_of(source "scripts")) do
    local lines = {}
    for line in core.read(path):gmatch "[^\n]*\n" do lines[#lines + 1] = line end
    for n = 1, #lines do
      local rest = table.concat(lines, "", 1, n - 1) .. table.concat(lines, "", n + 1)
      check(type(checker.text(rest, path)) == "table")
      check(type(checker.text(rest:sub(1, #rest * n // #lines), path)) == "table")
      judged = judged + 1
    end
  end
  check(judged > 100)
end)

case("the scripts here have no error", function()
  no_error_in(scripts_of(source "scripts"))
  no_error_in(scripts_of(source "scripts/bench"))
  no_error_in(scripts_of(source "stdlib"))
end)

case("the examples of the language have no error", function()
  local folder = shared_data("."):gsub("data/%.$", "examples")
  if not core.is_folder(folder) then skip "no examples" end
  no_error_in(scripts_of(folder))
end)

case("the code of the README has no error", function()
  local count = 0
  for code in core.read(source "README.md"):gmatch "```lua\n(.-)```" do
    count = count + 1
    for _, finding in ipairs(checker.text(code, "README.md")) do
      check(finding.note, ("block %d, line %d: %s"):format(count, finding.line, finding.text))
    end
  end
  check(count >= 4)
end)
