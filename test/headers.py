#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""What each public header costs those who include it.

    test/headers.py [--times RUNS] INCLUDE GENERATED COMPILER...

INCLUDE and GENERATED are the folders of the headers, and of version.hpp. Each header has to compile on
its own, without a warning where a project asks for more of them than we do; to open no more of Asio
than two of its headers do, asio.hpp apart; and to be at most 1.6 times the text of the standard
headers that it opens, which is what compiling it costs at least. Those that most programs include open no
expensive standard header. With --times the times are measured too, interleaved, and a table of them is
printed.
"""

import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

ASIO_VOCABULARY = ['boost/asio/buffer.hpp', 'boost/asio/ip/address.hpp']
BRIDGES = {'asio.hpp'}  # these are about Asio
STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Wsign-conversion',
          '-Wold-style-cast', '-Wcast-qual', '-Wextra-semi', '-Woverloaded-virtual', '-Wundef', '-Werror']
LIMIT = 1.6
# A program pays for the headers of its echo server in each of its files.
EXPENSIVE = {'algorithm', 'functional', 'iostream', 'iterator', 'map', 'memory', 'ostream', 'sstream', 'vector'}
DURATIONS = {'chrono', 'bits/chrono.h'}
FREQUENT = {header + '.hpp': EXPENSIVE | DURATIONS for header in
            ('address', 'buffer', 'nursery', 'run', 'stream', 'sync', 'task', 'tcp')}
FREQUENT |= {header + '.hpp': EXPENSIVE for header in ('cancel', 'serve', 'time', 'tls')}

arguments = sys.argv[1:]
runs = 0
if arguments[0] == '--times':
    runs = int(arguments[1])
    arguments = arguments[2:]
include, generated, *compiler = arguments
command = [*compiler, '-std=c++20', '-x', 'c++', '-I', include, '-I', generated]
if 'BOOST_ROOT' in os.environ:
    root = pathlib.Path(os.environ['BOOST_ROOT'])
    command += ['-isystem', str(root / 'include' if (root / 'include').is_dir() else root)]
environment = os.environ | {'LC_ALL': 'C'}
failures = 0


def fail(header, text):
    global failures
    failures += 1
    print(f'FAILED {header}: {text}')


def compile_text(text, *options):
    with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
        file.write(text)
        file.flush()
        return subprocess.run([*command, *options, file.name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=environment)


def including(names):
    return ''.join(f'#include <{name}>\n' for name in names)


search = re.search(r'search starts here:\n((?: .*\n)+)End', compile_text('', '-E', '-v').stderr)
folders = sorted({os.path.realpath(line.split()[0]) for line in search[1].splitlines()},
                 key=len, reverse=True)


def name_of(path):
    path = os.path.realpath(path)
    for folder in folders:
        if path.startswith(folder + '/'):
            return path[len(folder) + 1:]
    return path


def is_standard(name):
    return not name.startswith(('cosock/', 'boost/', '/'))


def opened(names):
    """How much text the preprocessor makes of it; what it opened; the standard headers that were
    opened by others than themselves."""
    done = compile_text(including(names), '-E', '-P', '-H')
    if done.returncode:
        return 0, [], [], done.stderr
    files, roots, inside = [], [], []
    for line in done.stderr.splitlines():
        if not (found := re.match(r'(\.+) (.*)', line)):
            continue
        name = name_of(found[2])
        del inside[len(found[1]) - 1:]
        if is_standard(name) and not any(map(is_standard, inside)):
            roots.append(name)
        inside.append(name)
        files.append(name)
    return len(done.stdout), files, list(dict.fromkeys(roots)), ''


def user_seconds(names):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = compile_text(including(names), '-fsyntax-only')
    if done.returncode:
        fail(names, done.stderr)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


vocabulary = {f for f in opened(ASIO_VOCABULARY)[1] if f.startswith('boost/asio')}
public = sorted(p.name for folder in (include, generated)
                for p in (pathlib.Path(folder) / 'cosock').glob('*.hpp'))
rows = []
for header in public:
    name = f'cosock/{header}'
    alone = compile_text(including([name]), '-fsyntax-only', *STRICT)
    if alone.returncode:
        fail(header, f'does not compile on its own:\n{alone.stderr}')
        continue
    size, files, standard, error = opened([name])
    if header in BRIDGES:
        continue
    if beyond := sorted({f for f in files if f.startswith('boost/asio')} - vocabulary):
        fail(header, 'opens of Asio: ' + ' '.join(beyond))
    if dear := sorted(FREQUENT.get(header, set()).intersection(standard)):
        fail(header, 'opens, though most programs include it: ' + ' '.join(dear))
    base = opened(standard)[0] if standard else 0  # credentials.hpp opens no other header
    ratio = size / base if base else 1
    if base and ratio > LIMIT:
        fail(header, f'{size} bytes are {ratio:.2f} times the {base} of ' + ' '.join(standard))
    rows.append((header, name, standard, size, ratio))
    if not runs:
        print(f'{header}: {size} bytes, {ratio:.2f} times its standard headers')

if runs:
    times = {row: ([], []) for row in range(len(rows))}
    for _ in range(runs):
        for i, (_, name, standard, *_) in enumerate(rows):
            times[i][0].append(user_seconds([name]))
            times[i][1].append(user_seconds(standard))
    print('| header | time | its standard headers | ratio | ratio of the texts |')
    print('|---|--:|--:|--:|--:|')
    for i, (header, _, standard, size, ratio) in enumerate(rows):
        ours, theirs = map(statistics.median, times[i])
        if standard:
            print(f'| {header} | {ours:.2f} s | {theirs:.2f} s | {ours / theirs:.2f} | {ratio:.2f} |')
if not rows:
    fail('all', 'no headers')
sys.exit(failures != 0)
