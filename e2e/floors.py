#!/usr/bin/env python3
"""Checks the import graph of the operator (docs/adr/0037-floors-of-the-operator.md): each file imports only its own floor and those below, no
files import each other in a circle, and what decides has no client, no clock and no I/O: neither in its files nor in the packages beneath it.

    e2e/floors.py [FOLDER [LOCK]]     the operator's folder and Cargo's lock file; without them, those of this repository

Tests are not looked at: the API server's conversation is one of them."""

import pathlib
import re
import sys
import tomllib

# From the bottom; folders in one line are beside each other. `lib.rs` and the programs are above all of them. The two lowest are a package of
# their own, in planner/src.
FLOORS = [["model"], ["planner"], ["observe", "apply", "probe"], ["controller", "plugin"], ["main", "bin"]]
# The last floors do not know each other: the plugin runs on somebody's own machine.
APART = {"controller", "plugin"}
PURE = {"model", "planner"}
IMPURE = [
    (r"\basync\b|\.await\b|\btokio\b|\bfutures\b", "waits"),
    (r"\bkube::(\w+::)*(Client|Api|Config)\b|\bkube::(client|runtime|config)\b|\breqwest\b|\bmongodb::|\bbus::|(?<!topology::)\bredis::", "has a client"),
    (r"\b(Timestamp|Zoned|Instant|SystemTime|OffsetDateTime)::now\b", "reads the clock"),
    (r"\bstd::(fs|net|env|process|io|thread)\b", "does I/O"),
]
# What waits or has a client, of all that a package is built from.
PLANNER = "openim-planner"
CLIENTS = {"tokio", "futures-executor", "mio", "hyper", "reqwest", "kube", "kube-client", "kube-runtime", "mongodb", "redis", "rdkafka"}
TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:pub(?:\([a-z]+\))? )?mod \w+ \{", re.M)
COMMENT = re.compile(r"^\s*//[^\n]*|\s//[^\n]*", re.M)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super|operator|planner)(?:::\w+)+")


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
    """The module of a file, with its package in front, such as planner::render::pods."""
    package, inside = ("planner", path.parts[2:]) if path.parts[0] == "planner" else ("operator", path.parts[1:])
    parts = [package, *inside[:-1], path.stem]
    return "::".join(parts[:-1] if path.stem == "mod" else parts)


def top(name):
    """The folder that decides on which floor a module is."""
    package, folder, *_ = name.split("::")
    return package if package == "planner" and folder != "model" else folder


def floor(name):
    return next((level for level, folders in enumerate(FLOORS) if top(name) in folders), None)


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
        elif parts[0] == "crate":
            parts[0] = own[0]
        known = ("::".join(parts[:length]) for length in range(len(parts), 1, -1))
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


def shown(name):
    return name.removeprefix("operator::")


def problems(folder):
    sources = {}
    for path in sorted([*folder.glob("src/**/*.rs"), *folder.glob("planner/src/**/*.rs")]):
        if path.name not in ("lib.rs", "tests.rs"):
            text = path.read_text()
            tests = TESTS.search(text)
            path = path.relative_to(folder)
            sources[module(path)] = (path, COMMENT.sub("", text[: tests.start()] if tests else text))
    graph = {}
    for name, (path, code) in sources.items():
        level = floor(name)
        if level is None:
            yield f"{path}: is on no floor: move it into one of the folders {', '.join(sum(FLOORS[2:-1], []))}"
            continue
        graph[name] = set(imports(name, code, sources))
        for other in sorted(graph[name]):
            if (floor(other) or 0) > level or {top(name), top(other)} == APART:
                yield f"{path}: imports {shown(other)}, which is not below it: move what both need to a lower floor"
        if top(name) in PURE:
            for pattern, what in IMPURE:
                if found := re.search(pattern, flat_uses(code)):
                    yield f"{path}: {what} ({found[0]}): the {top(name)} is pure; give it the result as a value"
    for circle in circles(graph):
        yield "a circle of files: " + " → ".join(map(shown, circle))
    for package in ("src", "planner/src"):
        if not any(path.is_relative_to(package) for path, _ in sources.values()):
            yield f"{folder}: has no sources in {package}"


def beneath(lock, package):
    """The ways to all packages that a package is built or tested from, by name."""
    needs = {}
    for entry in tomllib.loads(lock.read_text())["package"]:
        needs.setdefault(entry["name"], set()).update(other.split(" ")[0] for other in entry.get("dependencies", []))
    ways, ahead = {package: [package]}, [package]
    for name in ahead:
        for other in sorted(needs.get(name, set()) - ways.keys()):
            ways[other] = [*ways[name], other]
            ahead.append(other)
    return ways


def clients(lock):
    ways = beneath(lock, PLANNER)
    if len(ways) == 1:
        yield f"{lock}: {PLANNER} is not there"
    for name in sorted(CLIENTS & ways.keys()):
        yield f"{PLANNER} is built from a package that waits or has a client: " + " → ".join(ways[name])


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    given = [pathlib.Path(argument) for argument in sys.argv[1:]]
    folder, lock = given + [root / "operator", root / "Cargo.lock"][len(given):]
    found = [*problems(folder), *clients(lock)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
