#!/usr/bin/env python3
"""Names the Rust code that rustfmt leaves alone without a word: it gives up on a whole statement when a literal in it is wider than the line.

Every line is given another indentation, except in literals and in macros, which rustfmt does not promise to format. rustfmt has to put back
each of them."""

import difflib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RAW = re.compile(r'b?r(#*)"')
CHARACTER = re.compile(r"b?'(\\.[^']*|[^\\'])'")
MACRO = re.compile(r"(\w!(\s*\w+)?|#!?)\s*$")


def lines_in_the_way(text):
    """For each line: whether it begins inside a literal, a comment, a macro or an attribute."""
    marks, open_brackets, state, hashes, at = [False], [], "code", 0, 0

    def line_ends():
        marks.append(state != "code" or any(open_brackets))

    while at < len(text):
        character = text[at]
        if character == "\n":
            line_ends()
            at += 1
        elif state == "string":
            if text.startswith("\\\n", at):
                line_ends()
            state = "code" if character == '"' else state
            at += 2 if character == "\\" else 1
        elif state == "raw":
            ends = text.startswith('"' + "#" * hashes, at)
            state, at = ("code", at + 1 + hashes) if ends else (state, at + 1)
        elif state == "comment":
            ends = text.startswith("*/", at)
            state, at = ("code", at + 2) if ends else (state, at + 1)
        elif text.startswith("//", at):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text.startswith("/*", at):
            state, at = "comment", at + 2
        elif (raw := RAW.match(text, at)) and not re.match(r"\w", text[at - 1]):
            state, hashes, at = "raw", len(raw[1]), raw.end()
        elif character == '"':
            state, at = "string", at + 1
        elif literal := CHARACTER.match(text, at):
            at = literal.end()
        else:
            if character in "([{":
                open_brackets.append(bool(MACRO.search(text[max(0, at - 60) : at])))
            elif character in ")]}" and open_brackets:
                open_brackets.pop()
            at += 1
    return marks


def moved(text):
    """The text with another indentation where rustfmt decides about it."""
    lines = zip(text.split("\n"), lines_in_the_way(text))
    return "\n".join("   " + line.lstrip() if line.startswith(" ") and not fixed else line for line, fixed in lines)


def main():
    # A module that is not added yet too: without it rustfmt formats nothing of the file that declares it.
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]
    files = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    left = 0
    with tempfile.TemporaryDirectory() as folder:
        copies = [pathlib.Path(folder, file) for file in files]
        shutil.copy("rustfmt.toml", folder)
        for file, copy in zip(files, copies):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(moved(pathlib.Path(file).read_text()))
        # Generated modules are missing in the copy: rustfmt says so, and formats the rest.
        subprocess.run(["rustfmt", "--edition", "2024", *map(str, copies)], cwd=folder, stderr=subprocess.DEVNULL)
        for file, copy in zip(files, copies):
            before, after = (pathlib.Path(path).read_text().split("\n") for path in (file, copy))
            for kind, first, last, *_ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
                if kind != "equal":
                    left += 1
                    print(f"{file}:{first + 1}: rustfmt leaves this alone: {before[first].strip()[:90]}")
    if not files or left:
        print("break the literal in or near these lines that is too wide, by a backslash at the end of a line")
        sys.exit(1)


main()
