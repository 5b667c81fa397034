#!/usr/bin/env python3
"""What is compiled without need: dependencies that no source of their crate names, and crates that would be compiled once for the programs and once more
for the tests, because a dependency of the tests switches on a feature of something that the programs have too."""
import json
import re
import subprocess
import sys
from pathlib import Path

TARGET = "x86_64-unknown-linux-gnu"
# Where a dependency of this kind can be named, in the folder of its crate.
PLACES = {None: ["src", "tests", "benches"], "dev": ["src", "tests", "benches"], "build": ["build.rs"]}


def cargo(*words):
    return subprocess.run(["cargo", *words, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def sources(folder, places):
    files = [file for place in places for file in [folder / place, *sorted((folder / place).rglob("*.rs"))]]
    return "\n".join(file.read_text() for file in files if file.is_file())


def unused():
    """One line for each dependency that nothing names."""
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", TARGET))
    packages = {package["id"]: package for package in metadata["packages"]}
    for node in metadata["resolve"]["nodes"]:
        if node["id"] not in metadata["workspace_members"]:
            continue
        manifest = Path(packages[node["id"]]["manifest_path"])
        for dependency in node["deps"]:
            places = [place for kind in dependency["dep_kinds"] for place in PLACES[kind["kind"]]]
            if not re.search(rf"\b{dependency['name']}\b", sources(manifest.parent, places)):
                yield f"{manifest}: nothing in {' or '.join(places)} names {dependency['name']}: remove it"


def crates(kinds):
    """Each crate with its features, as the programs (normal, build) or the tests (also dev) have them."""
    lines = cargo("tree", "--workspace", "--target", TARGET, "--edges", kinds, "--prefix", "none", "--format", "{p}|{f}")
    features = {}
    for line in filter(None, lines.splitlines()):
        crate, found = line.removesuffix(" (*)").split("|")
        features.setdefault(crate, set()).add(found)
    return features


def twice():
    """One line for each crate that tests have with other features than programs."""
    programs, tests = crates("normal,build"), crates("normal,build,dev")
    for crate, features in programs.items():
        for more in sorted(tests[crate] - features):
            yield f"{crate} is compiled twice: tests have it with the features {more}; do without, or name them in Cargo.toml of the workspace"


found = [*unused(), *twice()]
print("\n".join(found), end="\n" if found else "")
sys.exit(1 if found else 0)
