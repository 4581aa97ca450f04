-- Layer names folded for reading: layers.0.mlp.up_proj .. layers.29.mlp.gate_proj become
-- layers.{0..29}.mlp.{gate,up}_proj. Numbers fold first, then last words that share parent, numbers and ending.
local fold = {}

-- "layers.3.mlp.up_proj" -> "layers.#.mlp.up_proj", 3; only the first number of a name counts.
local function split(name)
  local before, number, after = name:match "^(.-%.)(%d+)(%..+)$"
  if not before then before, number, after = name:match "^(.-%.)(%d+)()$", nil, "" end
  if not number then return name end
  return before .. "#" .. after, tonumber(number)
end

local function ranges(numbers)
  table.sort(numbers)
  local parts, i = {}, 1
  while i <= #numbers do
    local last = i
    while numbers[last + 1] == numbers[last] + 1 do last = last + 1 end
    if last == i then parts[#parts + 1] = tostring(numbers[i])
    elseif last == i + 1 then parts[#parts + 1] = numbers[i] .. "," .. numbers[last]
    else parts[#parts + 1] = numbers[i] .. ".." .. numbers[last] end
    i = last + 1
  end
  local text = table.concat(parts, ",")
  return #numbers == 1 and text or "{" .. text .. "}"
end

local function entries_of(names)
  local entries, at = {}, {}
  for _, name in ipairs(names) do
    local template, number = split(name)
    local entry = at[template]
    if not entry then
      entry = { template = template, numbers = {} }
      at[template], entries[#entries + 1] = entry, entry
    end
    entry.numbers[#entry.numbers + 1] = number
  end
  return entries
end

-- q_proj, k_proj -> {q,k}_proj: last words with the same ending after their last underscore.
local function merged(entries)
  local result, at = {}, {}
  for _, entry in ipairs(entries) do
    local text = #entry.numbers > 0 and entry.template:gsub("#", ranges(entry.numbers)) or entry.template
    local parent, head, ending = text:match "^(.*%.)([^.]-)(_[^._]+)$"
    local key = parent and parent .. ending
    if key and at[key] then
      table.insert(at[key].heads, head)
    else
      local line = { text = text, parent = parent, heads = { head }, ending = ending }
      result[#result + 1] = line
      if key then at[key] = line end
    end
  end
  return result
end

-- A list of folded texts, in the order of the names.
function fold.names(names)
  local texts = {}
  for i, line in ipairs(merged(entries_of(names))) do
    texts[i] = line.text
    if #line.heads > 1 then texts[i] = line.parent .. "{" .. table.concat(line.heads, ",") .. "}" .. line.ending end
  end
  return texts
end

-- The same as one text, for messages.
function fold.text(names) return table.concat(fold.names(names), ", ") end

return fold
