#!/usr/bin/env python3
"""Checks the import graph of the operator (docs/adr/0037-floors-of-the-operator.md): each file imports only its own floor and those below, no
files import each other in a circle, and what decides has no client, no clock and no I/O.

    e2e/floors.py [FOLDER]     the sources of the operator; without it, operator/src

Tests are not looked at: those of a lower floor may use an upper one."""

import pathlib
import re
import sys

# From the bottom; folders in one line are beside each other. `lib.rs` and the programs are above all of them.
FLOORS = [["model"], ["planner"], ["observe", "apply", "probe"], ["controller", "plugin"], ["main", "bin"]]
# The last floors do not know each other: the plugin runs on somebody's own machine.
APART = {"controller", "plugin"}
PURE = {"model", "planner"}
IMPURE = [
    (r"\basync\b|\.await\b|\btokio\b|\bfutures\b", "waits"),
    (r"\bkube::(\w+::)*(Client|Api|Config)\b|\bkube::(client|runtime|config)\b|\breqwest\b|\bmongodb::|\bbus::|\bredis::", "has a client"),
    (r"\b(Timestamp|Zoned|Instant|SystemTime|OffsetDateTime)::now\b", "reads the clock"),
    (r"\bstd::(fs|net|env|process|io|thread)\b", "does I/O"),
]
TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:pub(?:\([a-z]+\))? )?mod \w+ \{", re.M)
COMMENT = re.compile(r"^\s*//[^\n]*|\s//[^\n]*", re.M)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super|operator)(?:::\w+)+")


def expanded(tree, prefix=""):
    """The paths of a `use` tree."""
    depth, current, parts = 0, "", []
    for character in tree:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    for part in (part.strip() for part in [*parts, current]):
        before, brace, inside = part.partition("{")
        if brace:
            yield from expanded(inside.rpartition("}")[0], prefix + before)
        elif part:
            yield prefix + part.split(" as ")[0].removesuffix("::self")


def module(path):
    """The module of a file, such as planner::render::pods."""
    parts = path.with_suffix("").parts
    return "::".join(parts[:-1] if parts[-1] == "mod" else parts)


def floor(name):
    top = name.split("::")[0]
    return next((level for level, folders in enumerate(FLOORS) if top in folders), None)


def flat_uses(code):
    """The same code with one path for each import, so that nothing is hidden in braces."""
    return USE.sub(lambda use: "".join(f"use {path};" for path in expanded(" ".join(use[1].split()))), code)


def imports(name, code, modules):
    """The modules that a file imports or names."""
    own = name.split("::")
    for match in PATH.finditer(flat_uses(code)):
        parts = match[0].split("::")
        if parts[0] == "super":
            ups = next(index for index, part in enumerate(parts) if part != "super")
            parts = own[:-ups] + parts[ups:]
        else:
            parts = parts[1:]
        known = ("::".join(parts[:length]) for length in range(len(parts), 0, -1))
        found = next((module for module in known if module in modules), None)
        if found and found != name:
            yield found


def circles(graph):
    """Files that reach themselves, each circle once, as a path."""
    done, seen = set(), set()

    def walk(name, trail):
        if name in trail:
            circle = trail[trail.index(name):]
            first = circle.index(min(circle))
            circle = circle[first:] + circle[:first]
            if tuple(circle) not in seen:
                seen.add(tuple(circle))
                yield [*circle, circle[0]]
            return
        if name in done:
            return
        for other in sorted(graph.get(name, ())):
            yield from walk(other, [*trail, name])
        done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def problems(folder):
    files = {path.relative_to(folder): path.read_text() for path in sorted(folder.rglob("*.rs"))}
    sources = {}
    for path, text in files.items():
        if path.name != "lib.rs" and path.name != "tests.rs":
            tests = TESTS.search(text)
            sources[module(path)] = (path, COMMENT.sub("", text[: tests.start()] if tests else text))
    graph = {}
    for name, (path, code) in sources.items():
        level, top = floor(name), name.split("::")[0]
        if level is None:
            yield f"{path}: is on no floor: move it into one of the folders {', '.join(sum(FLOORS[:-1], []))}"
            continue
        graph[name] = set(imports(name, code, sources))
        for other in sorted(graph[name]):
            above, beside = floor(other) or 0, other.split("::")[0]
            if above > level or {top, beside} == APART:
                yield f"{path}: imports {other}, which is not below it: move what both need to a lower floor"
        if top in PURE:
            for pattern, what in IMPURE:
                if found := re.search(pattern, flat_uses(code)):
                    yield f"{path}: {what} ({found[0]}): the {top} is pure; give it the result as a value"
    for circle in circles(graph):
        yield "a circle of files: " + " → ".join(circle)
    if not graph:
        yield f"{folder}: has no sources"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "operator/src"
    found = list(problems(folder))
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
