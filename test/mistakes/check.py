#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""What is said of a mistake.

    test/mistakes/check.py FILE INCLUDE GENERATED COMPILER...
    test/mistakes/check.py FILE --run PROGRAM

A comment `says:` of FILE holds what the compiler has to say, within its first errors, when it is told to
take a result that is dropped for one; `says-gcc:` and `says-clang:` are for one of them, which leaves
the other out, and `says-gcc-12:` for one version. `run:` holds what the program says when it runs, and fails.
"""

import os
import re
import subprocess
import sys

FIRST = 3  # errors, of which one has to name the mistake

path, *arguments = sys.argv[1:]
with open(path) as file:
    expected = dict(re.findall(r'^// (says|says-gcc(?:-\d+)?|says-clang|run): (.*)$', file.read(), re.M))
environment = os.environ | {'LC_ALL': 'C'}


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, env=environment)


if arguments[0] == '--run':
    text = expected['run']
    done = run(arguments[1:])
    said = [done.stdout]
else:
    include, generated, *compiler = arguments
    version = run([*compiler, '--version']).stdout
    name = 'says-clang' if 'clang' in version else 'says-gcc'
    major = run([*compiler, '-dumpversion']).stdout.split('.')[0].strip()
    text = expected.get('says') or expected.get(name) or expected.get(f'{name}-{major}')
    if not text:
        print('not for this compiler')
        sys.exit(77)
    warnings = ['-Wall', '-Wextra', '-Wno-unused', '-Werror=unused-result',
                '-Werror=unused-value']  # that of newer Clangs
    if 'clang' in version:
        warnings += ['-Werror=dangling', '-ferror-limit=0']
    done = run([*compiler, '-std=c++20', '-fsyntax-only', *warnings, '-I', include,
                '-I', generated, path])
    said = [line for line in done.stdout.splitlines() if re.search(r'\berror: ', line)][:FIRST]
if done.returncode == 0:
    sys.exit(f'{path}: accepted, and nothing was said')
if not any(text in line for line in said):
    sys.exit(f'{path}: said nothing of "{text}":\n{done.stdout}')
print(text)
