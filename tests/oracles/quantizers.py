"""Reference codes for the built-in quantizers: tests/golden/quantizers.json.

    python tests/oracles/quantizers.py [--check]

Rules, for a row x (what shares one set of parameters) and b bits:

  symmetric   scale  half: absmax / (2^b - 1) * 2      qmax: absmax / (2^(b-1) - 1)
                     full: m / -2^(b-1), m the value of largest magnitude, so that m has the lowest code
              code   clamp(round(x / scale), -2^(b-1), 2^(b-1) - 1) + 2^(b-1)
  asymmetric  lo = min(x, 0), hi = max(x, 0), scale = (hi - lo) / (2^b - 1), zero = round(-lo / scale)
              code   clamp(round(x / scale) + zero, 0, 2^b - 1); zero is stored minus 2^(b-1)
  fp8         scale  absmax / 448 (e4m3) or / 57344 (e5m2); code: the byte of x / scale, saturated
  nf4         scale  absmax; code: the nearest of QLoRA's 16 levels

Scales are rounded to bf16 before anything else uses them, the zero point included; rounding is to nearest even.
Observer mse: for p = 1 - i / 100, i = 0 .. 79, the range is p times the extremes; the p with the least
sum |decoded - x|^2.4 wins, the larger one of equals.

All arithmetic here is float64 on float32 inputs. The inputs are drawn until no quotient lies so near to a rounding
boundary, and no two ranges so near to a tie, that float32 arithmetic could come out elsewhere; the boundaries
themselves are tested by the cases named "ties", whose scales are exact.
"""
import pathlib
import statistics

import numpy
import torch

import golden_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "quantizers.json"
GRID, SHRINK, NORM = 100, 0.8, 2.4
FP8 = {"e4m3": (torch.float8_e4m3fn, 448.0), "e5m2": (torch.float8_e5m2, 57344.0)}
# Margins: of a quotient to the next rounding boundary (relative to the step), of the best error to the next.
QUOTIENT_MARGIN, ERROR_MARGIN = 2e-5, 1e-4


class TooClose(Exception):
    """A draw that float32 arithmetic might code differently."""


def bf16(x, exact=True):
    """Rounded to bf16; unless exact, a value so near to a boundary that one float32 ulp could cross it is refused."""
    near = [torch.tensor(x * f, dtype=torch.float32).to(torch.bfloat16).double().numpy() for f in (1 - 3e-7, 1, 1 + 3e-7)]
    if not exact and not (numpy.array_equal(near[0], near[1]) and numpy.array_equal(near[1], near[2])):
        raise TooClose
    return near[1]


# QLoRA's levels as its code and every file that uses them have them.
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]


def nf4_levels():
    """The table above, checked against its definition: normal quantiles, 7 below 0 and 8 above, scaled to 1."""
    normal = statistics.NormalDist()
    offset = 0.9677083
    upper = [normal.inv_cdf(p) for p in numpy.linspace(offset, 0.5, 9)[:-1]]
    lower = [-normal.inv_cdf(p) for p in numpy.linspace(offset, 0.5, 8)[:-1]]
    defined = numpy.sort(numpy.array(lower + [0.0] + upper)) / max(upper)
    assert numpy.abs(defined - NF4).max() < 2e-7
    return numpy.array(NF4)


def fp8_values(format):
    """Byte -> value, by torch; NaN and infinities as NaN."""
    values = torch.arange(256, dtype=torch.uint8).view(FP8[format][0]).double().numpy()
    return numpy.where(numpy.isfinite(values), values, numpy.nan)


def rounded(quotient, exact):
    """Round to nearest even; a draw too near to a boundary is refused unless the case is exact."""
    if not exact and numpy.abs(numpy.abs(quotient - numpy.floor(quotient)) - 0.5).min() < QUOTIENT_MARGIN:
        raise TooClose
    return numpy.rint(quotient)


class Int:
    def __init__(self, bits, convention="half", symmetric=True):
        self.bits, self.convention, self.symmetric = bits, convention, symmetric
        self.options = {"quantizer": "int", "bits": bits, "symmetric": symmetric}
        if symmetric:
            self.options["convention"] = convention

    def fit(self, lo, hi, exact):
        """Parameters of rows with these extremes, [rows, 1] each."""
        half = 2.0 ** (self.bits - 1)
        top = numpy.maximum(-lo, hi)
        if not self.symmetric:
            lo, hi = numpy.minimum(lo, 0), numpy.maximum(hi, 0)
            scale = bf16((hi - lo) / (2 * half - 1), exact)
            zero = numpy.clip(rounded(-lo / scale, exact), 0, 2 * half - 1)
            return {"scale": scale, "zero": zero - half}
        if self.convention == "half":
            return {"scale": bf16(top / (2 * half - 1) * 2, exact)}
        if self.convention == "qmax":
            return {"scale": bf16(top / (half - 1), exact)}
        return {"scale": bf16(numpy.where(-lo >= hi, lo, hi) / -half, exact)}

    def encode(self, x, p, exact):
        half = 2.0 ** (self.bits - 1)
        codes = rounded(x / p["scale"], exact) + half + p.get("zero", 0)
        return numpy.clip(codes, 0, 2 * half - 1)

    def decode(self, codes, p):
        return (codes - 2.0 ** (self.bits - 1) - p.get("zero", 0)) * p["scale"]


class Levels:
    """A table of values and one scale: nf4, and fp8 by its bytes."""

    def __init__(self, name, values, top, options):
        self.values, self.top = values, top
        self.options = {"quantizer": name} | options
        order = numpy.argsort(numpy.where(numpy.isnan(values), numpy.inf, values), kind="stable")
        self.order = order[: int(numpy.isfinite(values).sum())]

    def fit(self, lo, hi, exact):
        return {"scale": bf16(numpy.maximum(-lo, hi) / self.top, exact)}

    def encode(self, x, p, exact):
        quotient = numpy.clip(x / p["scale"], -self.top, self.top)
        levels = self.values[self.order]
        places = numpy.searchsorted((levels[1:] + levels[:-1]) / 2, quotient)
        gaps = numpy.abs(quotient[..., None] - (levels[1:] + levels[:-1]) / 2).min(-1)
        if not exact and (gaps < QUOTIENT_MARGIN * numpy.abs(quotient)).any():
            raise TooClose
        return self.order[places].astype(numpy.float64)

    def decode(self, codes, p):
        return self.values[codes.astype(int)] * p["scale"]


def search(quantizer, x, lo, hi):
    """Extremes after the mse observer's search, row by row."""
    best = None
    for i in range(int(SHRINK * GRID)):
        shrunk = 1 - i / GRID
        p = quantizer.fit(lo * shrunk, hi * shrunk, exact=True)
        values = quantizer.decode(quantizer.encode(x, p, exact=True), p)
        error = (numpy.abs(values - x) ** NORM).sum(1, keepdims=True)
        key = p["scale"] + 1000 * p.get("zero", 0)
        if best is None:
            ones = numpy.ones_like(error)
            best = {"error": error, "shrunk": ones, "second": ones * numpy.inf, "key": key}
            continue
        wins = error < best["error"]
        # Ranges that round to the same parameters are no tie.
        other = key != best["key"]
        loser = numpy.where(wins, best["error"], numpy.where(other, error, numpy.inf))
        best["second"] = numpy.minimum(best["second"], loser)
        best["shrunk"] = numpy.where(wins, shrunk, best["shrunk"])
        best["key"] = numpy.where(wins, key, best["key"])
        best["error"] = numpy.where(wins, error, best["error"])
    if (best["second"] < best["error"] * (1 + ERROR_MARGIN)).any():
        raise TooClose
    return lo * best["shrunk"], hi * best["shrunk"]


def rows_of(x, grain):
    """The matrix with one row per set of parameters."""
    if grain == {"per": "tensor"}:
        return x.reshape(1, -1)
    return x if grain == {"per": "channel"} else x.reshape(-1, grain["group_size"])


def numbers(values):
    """Shortest text that reads back as the same float32; whole numbers without a point."""
    return [int(v) if float(v).is_integer() and abs(v) < 2**24 else float(str(numpy.float32(v))) for v in numpy.ravel(values)]


def case(quantizer, name, matrix, grain, observer, exact=False):
    x = rows_of(matrix.astype(numpy.float64), grain)
    lo, hi = x.min(1, keepdims=True), x.max(1, keepdims=True)
    if observer == "mse":
        lo, hi = search(quantizer, x, lo, hi)
    p = quantizer.fit(lo, hi, exact)
    codes = quantizer.encode(x, p, exact)
    error = numpy.sqrt(((quantizer.decode(codes, p) - x) ** 2).mean() / (x**2).mean())
    made = quantizer.options | grain | {"observer": observer, "input": name, "relative_error": float(f"{error:.6g}")}
    return made | {key: numbers(value) for key, value in p.items()} | {"codes": numbers(codes)}


def draw(seed):
    """Inputs of odd shapes: an outlier, a row above zero, a row below, groups far apart in size."""
    random = numpy.random.default_rng(seed)
    a = random.standard_normal((5, 24)).astype(numpy.float32)
    a[1] = numpy.abs(a[1]) + 0.25
    a[2] = -numpy.abs(a[2]) - 0.125
    a[3, 7] = 9.5
    a[4, :8] *= 1e-3
    b = (random.standard_normal((3, 7)) * 0.02).astype(numpy.float32)
    return {"a": a, "b": b}


def fitting_cases(inputs):
    a, b = inputs["a"], inputs["b"]
    grains = ({"per": "tensor"}, {"per": "channel"}, {"group_size": 8})
    for bits in range(2, 9):
        kinds = [Int(bits, convention) for convention in ("half", "qmax", "full")] + [Int(bits, symmetric=False)]
        for kind in kinds:
            for grain in grains:
                yield case(kind, "a", a, grain, "minmax")
            yield case(kind, "b", b, {"per": "channel"}, "minmax")
            yield case(kind, "b", b, {"per": "channel"}, "mse")
            yield case(kind, "a", a, {"group_size": 8}, "mse")
    for format, (_, top) in FP8.items():
        kind = Levels("fp8", fp8_values(format), top, {"format": format})
        for grain in grains:
            yield case(kind, "a", a, grain, "minmax")
        yield case(kind, "b", b, {"per": "channel"}, "minmax")
    nf4 = Levels("nf4", nf4_levels(), 1.0, {})
    for grain in ({"group_size": 8}, {"per": "channel"}):
        yield case(nf4, "a", a, grain, "minmax")
        yield case(nf4, "a", a, grain, "mse")


def tie_cases():
    """Quotients exactly half way between two codes: scales of 1, 2 and 1/2 by construction."""
    half4 = numpy.array([[-7.5, -6.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 5.5, 7.5]], numpy.float32)
    qmax3 = numpy.array([[-6, -5, -3, -1, 1, 3, 5, 6]], numpy.float32)
    asym2 = numpy.array([[-0.5, -0.25, 0.25, 0.75, 1.0]], numpy.float32)
    ties = {"ties half": half4, "ties qmax": qmax3, "ties asymmetric": asym2}
    kinds = (Int(4, "half"), Int(3, "qmax"), Int(2, symmetric=False))
    cases = [case(kind, name, x, {"per": "channel"}, "minmax", exact=True) for kind, (name, x) in zip(kinds, ties.items())]
    assert [c["scale"] for c in cases] == [[1], [2], [0.5]], cases
    return ties, cases


def fp8_conversions():
    """float32 -> byte by plain conversion: boundaries, ties, subnormals, overflow, random bits.

    Overflow gives NaN (e4m3) or infinity (e5m2). torch saturates e4m3 in some versions, so that is put right here:
    464 is half way from 448 to the next step, and goes to the even 448.
    """
    random = numpy.random.default_rng(5)
    result = {}
    for format, (kind, _) in FP8.items():
        grid = numpy.unique(numpy.abs(fp8_values(format)[numpy.isfinite(fp8_values(format))]))
        picks = grid[random.integers(1, len(grid) - 1, 40)]
        above = grid[numpy.searchsorted(grid, picks) + 1]
        ties = (picks + above) / 2
        near = numpy.concatenate([ties * (1 + 2.0**-20), ties * (1 - 2.0**-20)])
        spread = random.standard_normal(40) * 2.0 ** random.integers(-20, 18, 40)
        edges = [0.0, grid[1] / 2, grid[1] / 2 * 1.001, grid[-1], grid[-1] * 1.03, grid[-1] * 1.1, 464.0, 464.001, 61440.0, 61439.0, 1e30]
        values = numpy.concatenate([picks, ties, near, spread, edges, -ties, [-e for e in edges[1:]]]).astype(numpy.float32)
        codes = torch.from_numpy(values).to(kind).view(torch.uint8).numpy()
        if format == "e4m3":
            codes = numpy.where(numpy.abs(values) > 464, 0x7F | codes & 0x80, codes)
        result[format] = {"values": numbers(values), "bytes": codes.tolist()}
    return result


def make():
    seed, dropped = 0, 0
    while True:
        inputs = draw(seed)
        try:
            cases = list(fitting_cases(inputs))
            break
        except TooClose:
            seed, dropped = seed + 1, dropped + 1
    ties, exact = tie_cases()
    print(f"seed {seed} ({dropped} draws too close to a boundary), {len(cases) + len(exact)} cases")
    inputs |= ties
    return {
        "inputs": {name: {"shape": list(x.shape), "values": numbers(x)} for name, x in inputs.items()},
        "nf4_levels": numbers(nf4_levels()),
        "fp8_conversions": fp8_conversions(),
        "cases": cases + exact,
    }


if __name__ == "__main__":
    golden_file.main(GOLDEN, make)
