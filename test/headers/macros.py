#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""Whether the headers use a name that is a macro of another library.

    test/headers/macros.py MACROS INCLUDE GENERATED COMPILER...

All the headers of INCLUDE are compiled after MACROS, in the dialect in which `linux` and `unix` are macros
too. The headers of the standard library and of Boost that they include come first: those have names such
as max(), and emit() in Asio.
"""

import os
import pathlib
import re
import subprocess
import sys

macros, include, generated, *compiler = sys.argv[1:]
command = [*compiler, '-std=gnu++20', '-fsyntax-only', '-w', '-I', include, '-I', generated]
if 'BOOST_ROOT' in os.environ:
    root = pathlib.Path(os.environ['BOOST_ROOT'])
    command += ['-isystem', str(root / 'include' if (root / 'include').is_dir() else root)]

headers = sorted(pathlib.Path(include, 'cosock').rglob('*.hpp'))
others = sorted({name for path in headers
                 for name in re.findall(r'^#include <(?!cosock/)(.*)>', path.read_text(), re.M)})


def errors_of(names):
    text = ''.join(f'#include <{name}>\n' for name in others)
    text += f'#include "{os.path.abspath(macros)}"\n'
    text += ''.join(f'#include <{name}>\n' for name in names)
    done = subprocess.run([*command, '-x', 'c++', '-'], input=text, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=os.environ | {'LC_ALL': 'C'})
    errors = '\n'.join(re.findall(r'.*error: .*', done.stderr)) or done.stderr
    return errors if done.returncode else None


if not headers:
    sys.exit('no headers')
if errors := errors_of([]):
    sys.exit(f'the macros alone:\n{errors}')
if errors := errors_of([path.relative_to(include) for path in headers]):
    sys.exit(f'FAILED:\n{errors}')
print(f'{len(headers)} headers')
