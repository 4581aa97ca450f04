-- Tables, charts, lists.
return {
  { "wane", "tables",
    { "table(name, columns) -> table", "Rows with columns. In a run every added row goes to NAME.jsonl at once.",
      errors = "a name used twice in a run; a column named twice", types = { columns = "string[]" },
      example = 't = wane.table("sizes", { "layer", "bits" })\n'
        .. 't:add { layer = "norm", bits = 16 }\n'
        .. 't[1].bits  --> 16' },
  },
  { "table", "what a table can do",
    { "add(row) -> table",
      "One more row, { column = value, ... }: strings, numbers, booleans, scores, timings, tensors, values"
        .. " such as quantizers.", errors = "an unknown column, with the nearest; a value that is no cell",
      types = { row = "table" }, example = 't = wane.table("t", { "a" })\n#t:add { a = 1 }  --> 1' },
    { "outliers(column, { over = 20, among }) -> list",
      "First-column names of the rows above `over` times the median of the `among` rows around them, "
        .. "itself in; all rows unless given.", errors = "an unknown column; a cell that is no number",
      example = 't = wane.table("t", { "layer", "x" })\n'
        .. 'for i, x in ipairs { 1, 2, 90, 1, 2 } do t:add { layer = "l" .. i, x = x } end\n'
        .. 't:outliers("x", { over = 20 })[1]  --> "l3"' },
    { "mean(columns) -> table",
      "One row per combination of these columns; other numbers are averaged into scores.",
      errors = "an unknown column", types = { columns = "string[]" },
      example = 't = wane.table("t", { "kind", "x" })\n'
        .. 'for _, x in ipairs { 1, 3 } do t:add { kind = "a", x = x } end\n'
        .. 't:mean({ "kind" })[1].x.value  --> 2' },
    { "save(path)", "A .csv or .jsonl file; a score takes two columns in a .csv, the second its error.",
      errors = "another ending; a file that cannot be made (exit code 73)",
      example = 't = wane.table("t", { "a" })\n'
        .. 't:add { a = 1 }\n'
        .. 't:save "t.csv"\n'
        .. 'io.open("t.csv"):read "a"  --> "a\\n1\\n"' },
    { 'chart { x, y, log, label, mark } -> chart',
      'Text on y: a line for each row; numbers on both: points. log = "x" or "y"; label names a column, '
        .. 'mark a list of first-column names.',
      errors = "an unknown column; a cell that is no finite number; a logarithm of 0 or less",
      types = { x = "string", y = "string", log = '"x"|"y"', label = "string", mark = "wane.list|string[]" },
      example = 't = wane.table("t", { "layer", "x" })\n'
        .. 't:add { layer = "a", x = 3 }\n'
        .. 'print(t:chart { x = "x", y = "layer" })' },
    { "name", "Its name.", type = "string", example = 'wane.table("t", { "a" }).name  --> "t"' },
    { "columns", "The names of its columns.", type = "wane.list",
      example = 'wane.table("t", { "a", "b" }).columns[2]  --> "b"' },
  },
  { "chart", "what a chart can do",
    { "save(path)", "An .svg file.", errors = "another ending; a file that cannot be made (exit code 73)",
      example = 'wane.tensor({ 1, 2, 2 }):hist():save "hist.svg"' },
  },
}
