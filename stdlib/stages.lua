-- Stages: all calibration samples stand at the same place of the forward, layer by layer. Each batch runs the
-- whole forward in a coroutine. Layers that read one tensor are a site; a coroutine yields when it first
-- comes to a wanted site, and when all wait there, `at` is called with what they would feed it. What `at`
-- changes is in place when they go on, so later sites see it, and the whole walk costs one forward.
local core = require "wane.core"
local pattern = require "wane.pattern"

local M = {}

M.active = 0 -- walks and dry runs going on; layers look here first

local jobs = setmetatable({}, { __mode = "k" })   -- coroutine -> what its forward is watched for
local owners = setmetatable({}, { __mode = "k" }) -- coroutine -> number of walks it drives

M.batch_tokens = 2048 -- of one batch at most; no result depends on it

-- The job of the forward that calls a layer now; nil when that forward is nobody's stage.
function M.job(node)
  local thread = coroutine.running()
  local job = jobs[thread]
  if job then return job.model == node.model and job or nil end
  if owners[thread] then return nil end
  local name = node.path or node.class
  core.fail(("layer '%s' is called inside a coroutine of the script while a stage runs"):format(name),
    { hint = "call layers from forward itself" })
end

-- Whether the running forward is one that a stage watches.
function M.inside()
  return jobs[coroutine.running()] ~= nil
end

-- A layer is about to run on x: waits if its site is wanted and not yet served.
function M.touch(job, node, x)
  local site = job.sites[node.path]
  if not site or job.done[site] then return end
  job.done[site] = true
  local transform = node.state.transform
  if transform then x = transform.apply(x) end
  core.flush(x)
  coroutine.yield(site, x)
end

-- A layer has given y.
function M.touch_output(job, node, y)
  local site = job.outputs[node.path]
  if not site or job.done[site] then return end
  job.done[site] = true
  core.flush(y)
  coroutine.yield(site, y)
end

-- -- sites --------------------------------------------------------------------------------------------------

local Leave = {}

function Leave:__close()
  M.active = M.active - 1
  jobs[self.thread] = self.before
end

local function set_job(job)
  local thread = coroutine.running()
  local leave = setmetatable({ thread = thread, before = jobs[thread] }, Leave)
  jobs[thread] = job
  M.active = M.active + 1
  return leave
end

-- What one forward of one token touches, in order: { node, x, y } with y nil for a module. Layers compute
-- nothing meanwhile, they return zeros of the right shape, so no weight is read. `cache`: one that listens.
function M.dry_run(model, cache)
  local touched = {}
  local job = { model = model, dry = true }
  function job.touch(node, x, y)
    if node.path ~= "" then touched[#touched + 1] = { node = node, x = x, y = y } end
  end
  local leave <close> = set_job(job)
  model:_run(core.tensor({ { 0 } }, { dtype = "i32" }), cache, false)
  return touched
end

-- "layers.3." of "layers.3.norm".
function M.parent_of(path)
  return path:match "^(.*%.)[^.]*$" or ""
end

-- The architecture's `reads` says which layers read which norm; the forward has to agree, for folds rely on
-- it.
function M.check_reads(entry, touched)
  for norms, readers in pairs(entry.reads or {}) do
    local is_norm, is_reader, outputs = pattern.test(norms, "reads"), pattern.test(readers, "reads"), {}
    for _, touch in ipairs(touched) do
      local node = touch.node
      local layer = { name = node.path, class = node.class }
      if touch.y and is_norm(layer) then outputs[#outputs + 1] = touch end
      if touch.y and is_reader(layer) then
        for _, norm in ipairs(outputs) do
          local block = M.parent_of(norm.node.path)
          if node.path:sub(1, #block) == block and not core.same_node(norm.y, touch.x) then
            core.fail(("architecture '%s': reads says that '%s' reads '%s'"):format(entry.name, node.path,
              norm.node.path), { notes = { { "but", "its forward gives it something else" } } })
          end
        end
      end
    end
  end
end

-- The site among the last ones whose layers read the tensor x.
local function site_of(sites, x)
  for back = #sites, math.max(1, #sites - 16), -1 do
    local site = sites[back]
    if not site.module and core.same_node(site.x, x) then return site end
  end
end

-- The sites of a model in the order of first touch, { names = { path, ... }, class = of the first }: layers
-- that read the same tensor, and each module by itself.
function M.sites(model)
  local sites, known, touched = {}, {}, M.dry_run(model)
  M.check_reads(model:_architecture(), touched)
  for _, touch in ipairs(touched) do
    local path = touch.node.path
    if not known[path] then
      local module = touch.y == nil
      local site = not module and site_of(sites, touch.x)
      if not site then
        site = { names = {}, module = module, x = touch.x, class = touch.node.class }
        sites[#sites + 1] = site
      end
      site.names[#site.names + 1] = path
      known[path] = site
    end
  end
  for _, site in ipairs(sites) do site.x = nil end
  return sites
end

-- -- the walk -----------------------------------------------------------------------------------------------

-- Samples of equal length together, at most M.batch_tokens tokens: { { length, rows = { sample, ... } } ... }.
local function batches_of(samples)
  local open, batches = {}, {}
  for i, ids in ipairs(samples) do
    local batch = open[#ids]
    if not batch or (#batch.rows + 1) * #ids > M.batch_tokens then
      batch = { length = #ids, rows = {}, ids = {} }
      open[#ids], batches[#batches + 1] = batch, batch
    end
    batch.rows[#batch.rows + 1], batch.ids[#batch.ids + 1] = i, ids
  end
  return batches
end

local Walk = {}

function Walk:__close()
  for _, batch in ipairs(self.batches) do
    if batch.thread then
      jobs[batch.thread] = nil
      if coroutine.status(batch.thread) == "suspended" then coroutine.close(batch.thread) end
      batch.thread = nil
    end
  end
  M.active = M.active - 1
  local left = owners[self.owner] - 1
  owners[self.owner] = left > 0 and left or nil
end

local function start(model, samples, sites, outputs)
  local walk = setmetatable({ batches = batches_of(samples), owner = coroutine.running() }, Walk)
  local apply_head = next(outputs) ~= nil
  for _, batch in ipairs(walk.batches) do
    local tokens = core.tensor(batch.ids, { dtype = "i32" })
    batch.thread = coroutine.create(function() model:_run(tokens, nil, not apply_head) end)
    jobs[batch.thread] = { model = model, sites = sites, outputs = apply_head and outputs or nil, done = {} }
  end
  M.active = M.active + 1
  owners[walk.owner] = (owners[walk.owner] or 0) + 1
  return walk
end

-- x [batch, tokens, ..] of one sample as [tokens, channels].
local function rows_of(x, row)
  local shape = x.shape
  local pick = { row }
  for i = 2, #shape do pick[i] = {} end
  local one = x[pick]
  if #shape == 3 then return one end
  return one:reshape { -1, #shape > 2 and shape[#shape] or 1 }
end

-- Runs every batch to `site`; the inputs of all samples, in order.
local function gather(walk, site)
  local inputs = {}
  for _, batch in ipairs(walk.batches) do
    local good, came, x = coroutine.resume(batch.thread)
    if not good then error(came, 0) end
    if came ~= site then
      core.fail(("stage: the forward of sample %d comes to %s, expected '%s'"):format(batch.rows[1],
        came and ("'" .. came.names[1] .. "'") or "its end", site.names[1]),
        { notes = { { "order", "that of a forward of one token; it may not depend on the text" } } })
    end
    for row, sample in ipairs(batch.rows) do inputs[sample] = rows_of(x, row) end
    core.collect_young() -- what the batch left behind is large and young
  end
  return inputs
end

local function chosen(all, wanted, wanted_output)
  local order, sites, outputs = {}, {}, {}
  for _, site in ipairs(all) do
    local take
    for _, name in ipairs(site.names) do take = take or wanted(name) end
    if take then
      order[#order + 1] = site
      for _, name in ipairs(site.names) do sites[name] = site end
    end
    for _, name in ipairs(site.names) do
      if wanted_output(name) then
        local site_out = { names = { name }, output = true }
        order[#order + 1], outputs[name] = site_out, site_out
      end
    end
  end
  return order, sites, outputs
end

local function never() return false end

local function ids_of(samples)
  local ids = {}
  for i, sample in ipairs(samples) do ids[i] = sample.ids or sample end
  return ids
end

-- A wanted layer that a forward of one token does not come to would be left out in silence.
local function check_reached(model, sites, wanted)
  for _, layer in ipairs(model:_leaves()) do
    if wanted(layer.name) and not sites[layer.name] then
      core.fail(("stage: the forward does not come to '%s'"):format(layer.name))
    end
  end
end

-- Walks `model` over `samples` ({ ids = } or lists of ids, 0-based tokens). For every site with a layer that
-- wanted(name) says, at(site, inputs, originals) is called once: site.names are the layers that share the
-- input, in model order, inputs[i] is [tokens, channels] of sample i, after the layer's input transform,
-- before its input quantizer. What it returns (changes as for model:_derive, or nil) holds from there on.
-- `original`: a model that goes along in lock-step and never changes; originals[i] is its input at the site.
-- `outputs` and `at_output(name, outputs)` do the same for what layers give. Ends after the last wanted site.
-- Returns the model with all changes.
function M.walk(model, samples, opts)
  local changed = model:_derive({})
  local order, sites, outputs = chosen(M.sites(changed), opts.wanted or never, opts.outputs or never)
  check_reached(changed, sites, opts.wanted or never)
  check_reached(changed, outputs, opts.outputs or never)
  if #order == 0 or #samples == 0 then return changed end
  local walk <close> = start(changed, ids_of(samples), sites, outputs)
  local beside <close> = opts.original and start(opts.original:_derive({}), ids_of(samples), sites, {}) or nil
  for _, site in ipairs(order) do
    collectgarbage() -- what solving the last site left is large, and some of it old
    local originals = beside and gather(beside, site)
    local inputs = gather(walk, site)
    -- What was packed for the layers between two sites has served: no sample comes back to them.
    if opts.at then
      core.drop_copies()
      collectgarbage()
    end
    if site.output then
      opts.at_output(site.names[1], inputs)
    else
      local changes = opts.at(site, inputs, originals)
      if changes then changed:_change(changes) end
    end
    core.check_interrupt()
  end
  return changed
end

return M
