-- How numbers and names are written in tables, charts and plans.
local format = {}

-- Four significant digits, whole numbers whole, powers of ten where those would be long.
function format.number(x)
  if math.type(x) == "integer" then return tostring(x) end
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" elseif x == -math.huge then return "-inf" end
  local size = math.abs(x)
  if x == math.floor(x) and size < 1e6 then return ("%d"):format(math.tointeger(x)) end
  if size >= 1e6 or (size < 1e-4 and size > 0) then
    return (("%.2e"):format(x):gsub("%.?0*e", "e"):gsub("e%+?(%-?)0*(%d)", "e%1%2"))
  end
  if size >= 1000 then return ("%.0f"):format(x) end
  return ("%.4g"):format(x)
end

-- Three digits, for charts.
function format.short(x)
  local size = math.abs(x)
  if size >= 1000 and size < 1e6 then return ("%.0f"):format(x) end
  if size >= 1e6 or (size < 1e-3 and size > 0) then
    return (("%.1e"):format(x):gsub("%.?0*e", "e"):gsub("e%+?(%-?)0*(%d)", "e%1%2"))
  end
  return ("%.3g"):format(x)
end

-- value ± error, the error with one or two digits (two while it reads below 36) and the value to the same place.
function format.measured(x, error, signed)
  local sign = signed and x >= 0 and "+" or ""
  if error == nil or error ~= error then return sign .. format.number(x) .. " ± ?" end
  if x ~= x or math.abs(x) == math.huge then return format.number(x) end
  if error == 0 then return sign .. format.number(x) .. " ± 0" end
  local exponent = math.floor(math.log(error, 10))
  local lead = error / 10.0 ^ (exponent - 1)
  local place = exponent
  if lead < 35.5 then place = exponent - 1 end
  if lead >= 94.5 then place = exponent end
  if place >= 0 then
    local unit = 10.0 ^ place
    return ("%s%.0f ± %.0f"):format(sign, x, math.floor(error / unit + 0.5) * unit)
  end
  if -place > 12 then return ("%s%.3g ± %.1g"):format(sign, x, error) end
  local digits = ("%%.%df"):format(-place)
  return sign .. digits:format(x) .. " ± " .. digits:format(error)
end

function format.seconds(s)
  if s < 0.1 then return ("%.2g ms"):format(s * 1000) end
  if s < 10 then return ("%.2g s"):format(s) end
  if s < 120 then return ("%.0f s"):format(s) end
  if s < 7200 then return ("%.0f min"):format(s / 60) end
  return ("%.1f h"):format(s / 3600)
end

-- Characters that a text takes in a terminal (each code point one).
function format.width(text) return utf8.len(text) or #text end

function format.left(text, width) return text .. (" "):rep(width - format.width(text)) end
function format.right(text, width) return (" "):rep(width - format.width(text)) .. text end

-- Lines of cells in aligned columns, two spaces apart. right: { [column] = true } for those aligned to the right.
function format.columns(lines, right)
  local widths = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do widths[i] = math.max(widths[i] or 0, format.width(cell)) end
  end
  local text = {}
  for n, cells in ipairs(lines) do
    local parts = {}
    for i, cell in ipairs(cells) do
      parts[i] = right and right[i] and format.right(cell, widths[i]) or format.left(cell, widths[i])
    end
    text[n] = table.concat(parts, "  "):gsub("%s+$", "")
  end
  return table.concat(text, "\n")
end

return format
