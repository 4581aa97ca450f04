"""The golden files of one object with a list of cases: how they are written, and compared with --check."""
import argparse
import json


def text_of(made):
    """One line for each key and each case, so that a difference is readable."""
    line = lambda value: json.dumps(value, separators=(",", ":"))
    head = ",\n".join(f'"{key}":{line(value)}' for key, value in made.items() if key != "cases")
    return "{" + head + ',\n"cases":[\n' + ",\n".join(line(case) for case in made["cases"]) + "\n]}\n"


def main(path, make):
    """Writes what make() gives to `path`, or compares the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    text = text_of(make())
    if parser.parse_args().check:
        assert path.read_text() == text, "the committed file differs"
    else:
        path.write_text(text)
