"""Reference codes for GPTQ: tests/golden/gptq.json.

    python tests/oracles/gptq_twin.py [--check]

The loop of the paper (arXiv 2210.17323, algorithm 1) in float64, column after column without blocks, on the inverse
itself: after a column is coded, its row and column leave the inverse by one step of elimination. There is no Cholesky
factor here and no triangle, so nothing is shared with a solver that works on one.

  h = mean of x x^T, lam = damp * mean of its diagonal, h' = h + lam I
  aim      w + amount * (w (c + lam I) h'^-1 - w), c = mean of x0 x^T
  order    static: columns by falling diagonal, parameters fitted before on aim; group: groups of columns by their
           largest diagonal, columns inside by theirs, none: as they stand, both fitted on the weights as they are when
           the first column of a group comes up

Inputs are small whole numbers, so that h and c are exact in float32; they and the weights (multiples of 1/64) are
stored as strings of digits. Draws are repeated until no quotient is so near to a rounding boundary that float32
arithmetic would code differently (see quantizers.py) and no two channels have one diagonal.
"""
import pathlib

import numpy

import golden_file
from quantizers import Int, TooClose, search

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "gptq.json"
ROWS, COLUMNS, TOKENS, DEAD = 20, 48, 80, 17
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

CASES = [
    {"bits": 4, "act_order": "static"},
    {"bits": 4, "act_order": "none", "damp": 0.1},
    {"bits": 4, "act_order": "group", "group_size": 16},
    {"bits": 3, "act_order": "static", "group_size": 16, "observer": "mse", "precorrect": 0.5},
    {"bits": 3, "act_order": "none", "group_size": 8, "symmetric": False},
    {"bits": 2, "act_order": "group", "group_size": 24, "convention": "full", "precorrect": 1.0},
]


def draw(seed):
    """Correlated tokens with channels of unequal size, what they were before some noise, and weights."""
    random = numpy.random.default_rng(seed)
    mix = random.standard_normal((COLUMNS, COLUMNS)) * 0.6 + 2 * numpy.eye(COLUMNS)
    sizes = random.uniform(0.4, 2.2, COLUMNS)
    plain = random.standard_normal((TOKENS, COLUMNS)) @ mix * sizes
    x = numpy.clip(numpy.rint(plain), -17, 17)
    x0 = numpy.clip(numpy.rint(plain + random.standard_normal(plain.shape) * 1.5), -17, 17)
    x[:, DEAD] = x0[:, DEAD] = 0
    w = numpy.clip(numpy.rint(random.standard_normal((ROWS, COLUMNS)) * 5), -17, 17) / 64
    return x, x0, w


def quantizer_of(options):
    return Int(options["bits"], options.get("convention", "half"), options.get("symmetric", True))


def fitted(quantizer, options, x):
    lo, hi = x.min(1, keepdims=True), x.max(1, keepdims=True)
    if options.get("observer") == "mse":
        lo, hi = search(quantizer, x, lo, hi)
    return quantizer.fit(lo, hi, exact=False)


def column_order(act_order, diagonal, size):
    if act_order == "none":
        return list(range(len(diagonal)))
    if act_order == "static":
        return list(numpy.argsort(-diagonal, kind="stable"))
    groups = [list(range(first, first + size)) for first in range(0, len(diagonal), size)]
    groups.sort(key=lambda g: -max(diagonal[c] for c in g))
    return [c for g in groups for c in sorted(g, key=lambda c: -diagonal[c])]


def solve(w, h, c, options):
    """Codes [rows, columns] and the loss sum (q - aim) h' (q - aim)^T of one case."""
    columns = w.shape[1]
    size, act_order = options.get("group_size", columns), options["act_order"]
    diagonal = numpy.diag(h)
    lam = options.get("damp", 0.01) * diagonal.mean()
    damped = h + lam * numpy.eye(columns)
    amount = options.get("precorrect", 0.0)
    aim = w + amount * (w @ (c + lam * numpy.eye(columns)) @ numpy.linalg.inv(damped) - w)

    quantizer, params = quantizer_of(options), {}
    group_of = lambda column: slice(column // size * size, (column // size + 1) * size)
    if act_order == "static":
        for first in range(0, columns, size):
            params[first // size] = fitted(quantizer, options, aim[:, first : first + size])
    left, inverse = aim.copy(), numpy.linalg.inv(damped)
    codes, values = numpy.zeros(w.shape), numpy.zeros(w.shape)
    for j in column_order(act_order, diagonal, size):
        if j // size not in params:
            params[j // size] = fitted(quantizer, options, left[:, group_of(j)])
        p = params[j // size]
        column = left[:, j : j + 1]
        codes[:, j : j + 1] = quantizer.encode(column, p, exact=False)
        values[:, j : j + 1] = quantizer.decode(codes[:, j : j + 1], p)
        error = (column[:, 0] - values[:, j]) / inverse[j, j]
        left -= numpy.outer(error, inverse[j])
        inverse -= numpy.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    off = values - aim
    return codes, float(numpy.trace(off @ damped @ off.T))


def digits(x):
    return "".join(DIGITS[int(v)] for v in numpy.ravel(x))


def make():
    seed = 0
    while True:
        x, x0, w = draw(seed)
        h, c = x.T @ x / TOKENS, x0.T @ x / TOKENS
        try:
            assert len(set(numpy.diag(h))) == COLUMNS
            made = []
            for options in CASES:
                codes, loss = solve(w, h, c, options)
                made.append(options | {"loss": float(f"{loss:.12g}"), "codes": digits(codes)})
            break
        except (TooClose, AssertionError):
            seed += 1
    print(f"seed {seed}, {len(made)} cases")
    shape = {"rows": ROWS, "columns": COLUMNS, "tokens": TOKENS, "dead": DEAD + 1}
    return shape | {"x": digits(x + 18), "x0": digits(x0 + 18), "w": digits(w * 64 + 18), "cases": made}


if __name__ == "__main__":
    golden_file.main(GOLDEN, make)
