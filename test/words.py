#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# words.py SOURCE_FOLDER [PATTERN...]: looks for phrases that a reader has to read twice in the pages, outside
# of their code, and in the comments of sources. Patterns are used instead of those in PATHS.
"""Each phrase is reported with its file and line, and the plain words to use."""

import pathlib
import re
import sys

PATHS = [
    "README.md",
    "docs/*.md",
    "samples/*.[ch]pp",
    "include/cosock/*.hpp",
    "include/cosock/testing/*.hpp",
]

# A phrase, and what to use instead. White space in a phrase is any, so it may be wrapped.
ADVICE = {
    r"gives?\b(?!\s+up)": '"returns", "throws", "sets" or "passes"',
    "is none": 'the noun: "there is no socket", "is not an address"',
    "anew": '"again"',
    "for ever": '"forever", or name what ends it',
    "what is there": 'the noun: "the available bytes"',
    "comes to it": "the event, and who does what then",
    "as far as": '"if", "up to" or "to the extent that"',
    "all the same": '"still", or "if it also completes"',
    "to be had": '"available"',
    "is no matter": '"does not matter"',
}
PHRASE = re.compile("|".join(rf"(\b{phrase}\b)".replace(" ", r"\s+") for phrase in ADVICE), re.IGNORECASE)

# In a page: blocks of code, comments, code in a line, targets of links.
PAGE_CODE = re.compile(r"^```.*?^```$|<!--.*?-->|`[^`]*`|(?<=\])\([^)\s]*\)", re.MULTILINE | re.DOTALL)
# In a source: comments, and strings, which may look as if they had comments.
SOURCE_PART = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
COMMENT_CODE = re.compile(r"`[^`\n]*`")
COMMENT_MARK = re.compile(r"//[/!]?<?|/\*+|\*/")


def blank(text):
    """The same length and lines, without the text."""
    return re.sub(r"[^\n]", " ", text)


def prose_of_page(text):
    return PAGE_CODE.sub(lambda code: blank(code[0]), text)


def prose_of_source(text):
    """The comments in their places. Code between two comments is a border that no phrase crosses."""
    prose, end = [], 0
    for part in SOURCE_PART.finditer(text):
        prose.append(re.sub(r"\S", "|", text[end:part.start()]))
        comment = part[0].startswith("/")
        shown = COMMENT_CODE.sub(lambda code: blank(code[0]), part[0]) if comment else re.sub(r"\S", "|", part[0])
        prose.append(COMMENT_MARK.sub(lambda mark: blank(mark[0]), shown) if comment else shown)
        end = part.end()
    return "".join(prose)


def main():
    if len(sys.argv) < 2:
        print("words.py: usage: words.py SOURCE_FOLDER [PATTERN...]", file=sys.stderr)
        return 2
    top = pathlib.Path(sys.argv[1])
    files = sorted({path for pattern in sys.argv[2:] or PATHS for path in top.glob(pattern)})
    found = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        prose = prose_of_page(text) if path.suffix == ".md" else prose_of_source(text)
        for match in PHRASE.finditer(prose):
            found += 1
            line = prose.count("\n", 0, match.start()) + 1
            advice = list(ADVICE.values())[match.lastindex - 1]
            phrase = " ".join(match[0].split())
            print(f'{path.relative_to(top).as_posix()}:{line}: "{phrase}": use {advice}')
    print(f"{len(files)} files, {found} phrases")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
