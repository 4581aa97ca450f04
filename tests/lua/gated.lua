-- silu(gate) * up as one call: the bits of the products and maps it stands for.
local wane = require "wane"
local core = require "wane.core"

local function drawn(shape, dtype, stream)
  local x = wane.randn(shape, { stream = stream }):to(dtype)
  core.flush(x)
  return x
end

local function composed(x, gate, up, gate_bias, up_bias)
  local g, u = core.linear(x, gate, gate_bias), core.linear(x, up, up_bias)
  core.flush(g)
  core.flush(u)
  return g:silu() * u
end

case("gated products equal two products and two maps, with and without bias, for any rows", function()
  for _, dtype in ipairs { "bf16", "f32", "f16", "f64" } do
    for _, size in ipairs { { 64, 96 }, { 200, 50 }, { 1, 7 }, { 640, 1100 } } do
      local n, k = size[1], size[2]
      local gate, up = drawn({ n, k }, dtype, "gate"), drawn({ n, k }, dtype, "up")
      local gate_bias, up_bias = drawn({ n }, dtype, "a"), drawn({ n }, dtype, "b")
      for _, rows in ipairs { 1, 2, 3, 8, 64, 65, 66, 130 } do
        local x = drawn({ rows, k }, dtype, "x")
        assert(core.gated_linear(x, gate, up):same(composed(x, gate, up)), dtype .. " " .. rows)
        assert(core.gated_linear(x, gate, up, gate_bias, up_bias):same(composed(x, gate, up, gate_bias, up_bias)))
        assert(core.gated_linear(x, gate, up, nil, up_bias):same(composed(x, gate, up, nil, up_bias)))
      end
    end
  end
end)

case("gated products of NaN, infinity, tiny and large numbers", function()
  local special = { 0 / 0, 1 / 0, -1 / 0, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38, 100, -100, 1 }
  local rows = {}
  for i, value in ipairs(special) do
    rows[i] = {}
    for j = 1, 32 do rows[i][j] = j == 1 and value or 0 end
  end
  local weights = {}
  for i = 1, 80 do
    weights[i] = {}
    for j = 1, 32 do weights[i][j] = j == 1 and special[i % #special + 1] or 0 end
  end
  for _, dtype in ipairs { "bf16", "f32" } do
    local x, gate = core.tensor(rows, { dtype = dtype }), core.tensor(weights, { dtype = dtype })
    local up = wane.ones({ 80, 32 }):to(dtype)
    assert(core.gated_linear(x, gate, up):same(composed(x, gate, up)), dtype)
  end
end)

case("gated products: empty operands and wrong sizes", function()
  local x, w = drawn({ 3, 8 }, "bf16", "x"), drawn({ 16, 8 }, "bf16", "w")
  equal(core.gated_linear(drawn({ 0, 8 }, "bf16", "x"), w, w).shape[1], 0)
  local ok, problem = pcall(core.gated_linear, x, w, drawn({ 16, 9 }, "bf16", "w"))
  assert(not ok and tostring(problem):find("inner sizes differ", 1, true), tostring(problem))
end)

case("layers with one transform and input quantizer join, others run one by one", function()
  local modules = require "wane.module"
  local gate, up = wane.Linear(24, 64), wane.Linear(24, 64)
  local x = drawn({ 5, 24 }, "f32", "x")
  local function alone(y) return gate(y):silu() * up(y) end
  assert(modules.gated(gate, up, x):same(alone(x)))
  local double = { apply = function(y) return y * 2 end }
  modules.node(gate).state.transform = double
  assert(modules.gated(gate, up, x):same(alone(x)))
  modules.node(up).state.transform = double
  assert(modules.gated(gate, up, x):same(alone(x)))
  assert(not modules.gated(gate, up, x):same(modules.gated(gate, up, x * 2)))
  modules.node(up).state.input = { apply = function(y) return y:round() end }
  assert(modules.gated(gate, up, x):same(alone(x)))
  modules.node(gate).state.forward = function(_, y) return y[{ {}, { 1, 1 } }] * wane.ones { 1, 64 } end
  assert(modules.gated(gate, up, x):same(alone(x)))
end)
