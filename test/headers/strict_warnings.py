#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""The warnings of the headers in a project that asks for many, and finds them with -I, as those of a
Meson subproject.

    test/headers/strict_warnings.py PROGRAM INCLUDE GENERATED COMPILER...

PROGRAM is compiled with every warning below that COMPILER knows. A warning in PROGRAM or in a header of
INCLUDE or GENERATED is a failure, and so is one in a function of another library that was inlined there.
Left out are those that the compiler causes itself, which a coroutine that does nothing finds.
Warnings about sound code are not in the list: -Weffc++, -Wpadded, -Winline, -Wsuggest-final-methods,
-Wnoexcept, -Wweak-vtables, -Wunsafe-buffer-usage, and those of Clang about C++98.
"""

import os
import pathlib
import re
import subprocess
import sys

WARNINGS = '''
-Wall -Wextra -Wpedantic

-Wassign-enum -Watomic-implicit-seq-cst -Wcast-align -Wcomma -Wconditional-uninitialized
-Wcovered-switch-default -Wctad-maybe-unsupported -Wdeprecated -Wdocumentation
-Wdocumentation-unknown-command -Wexit-time-destructors -Wextra-semi-stmt -Wformat-non-iso
-Wglobal-constructors -Wheader-hygiene -Widiomatic-parentheses -Wimplicit-fallthrough
-Winconsistent-missing-destructor-override -Wloop-analysis -Wmissing-noreturn -Wmissing-prototypes
-Wmissing-variable-declarations -Wmost -Wmove -Wnewline-eof -Wnonportable-include-path
-Wnullable-to-nonnull-conversion -Wover-aligned -Wpessimizing-move -Wredundant-move
-Wredundant-parens -Wreserved-identifier -Wself-assign -Wself-move -Wshadow-all
-Wshift-sign-overflow -Wsuggest-destructor-override -Wtautological-compare -Wthread-safety
-Wundefined-func-template -Wundefined-inline -Wundefined-internal -Wundefined-reinterpret-cast
-Wunneeded-internal-declaration -Wunneeded-member-function -Wunreachable-code-aggressive
-Wunused-exception-parameter -Wunused-member-function -Wunused-template -Wused-but-marked-unused

-Walloca -Warith-conversion -Warray-bounds=2 -Wattribute-alias=2 -Wcast-align=strict -Wcast-qual
-Wcatch-value=3 -Wcomma-subscript -Wconditionally-supported -Wconversion -Wctor-dtor-privacy
-Wdate-time -Wdeprecated-copy-dtor -Wdisabled-optimization -Wdouble-promotion -Wduplicated-branches
-Wduplicated-cond -Wextra-semi -Wfloat-conversion -Wfloat-equal -Wformat=2 -Wformat-signedness
-Wimplicit-fallthrough=5 -Wlogical-op -Wmisleading-indentation -Wmismatched-tags
-Wmissing-declarations -Wnon-virtual-dtor -Wnull-dereference -Wold-style-cast -Woverloaded-virtual
-Wplacement-new=2 -Wredundant-decls -Wredundant-tags -Wshadow -Wshift-overflow=2 -Wsign-conversion
-Wsign-promo -Wstrict-null-sentinel -Wstrict-overflow=2 -Wstringop-overflow=4 -Wsuggest-override
-Wswitch-default -Wswitch-enum -Wundef -Wunused -Wunused-const-variable=2 -Wunused-macros
-Wuseless-cast -Wvla -Wvolatile -Wzero-as-null-pointer-constant
'''.split()

# A warning about this program is one about every coroutine.
NOTHING = '''
#include <coroutine>
struct nothing {
  struct promise_type {
    nothing get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
};
static nothing do_nothing() { co_return; }
int main() { do_nothing(); }
'''

program, include, generated, *compiler = sys.argv[1:]
environment = os.environ | {'LC_ALL': 'C'}
command = [*compiler, '-std=c++20', '-I', include, '-I', generated]
if 'BOOST_ROOT' in os.environ:
    root = pathlib.Path(os.environ['BOOST_ROOT'])
    command += ['-isystem', str(root / 'include' if (root / 'include').is_dir() else root)]


def compiled(*options, text=None):
    done = subprocess.run([*command, *options], input=text, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=environment)
    return done.returncode, done.stderr


def known(warnings):
    """Those that the compiler knows, and does not cause itself."""
    said = compiled(*warnings, '-fsyntax-only', '-x', 'c++', '-', text=NOTHING)[1]
    refused = set(re.findall(r"unrecognized command-line option '([^']*)'|"
                             r"unknown warning option '([^']*)'", said))
    refused = {name for names in refused for name in names}
    left = [w for w in warnings if w not in refused]
    status, said = compiled(*left, '-O2', '-c', '-o', os.devnull, '-x', 'c++', '-', text=NOTHING)
    if status:
        sys.exit(f'a coroutine that does nothing does not compile:\n{said}')
    caused = set(re.findall(r'\[(-W[^\],=]*)', said))
    return [w for w in left if w.split('=')[0] not in caused]


def of_ours(said):
    """The warnings that using the headers leads to, each with its context."""
    ours = [pathlib.Path(p).resolve() for p in (program, include, generated)]
    context = []
    for line in said.splitlines():
        found = re.match(r'(.*?):\d+:(?:\d+:)? (?:fatal )?(?:warning|error): ', line)
        if not found:
            context.append(line)
            continue
        places = [found[1], *re.findall(r"inlined from '.*' at (.*?):\d+:", '\n'.join(context))]
        if any(pathlib.Path(place).resolve().is_relative_to(o) for place in places for o in ours):
            yield '\n'.join([*context, line])
        context = []


version = subprocess.run([*compiler, '--version'], stdout=subprocess.PIPE, text=True).stdout
# Clang warns before it optimizes.
runs = [['-fsyntax-only']] if 'clang' in version else [['-O0', '-c'], ['-O2', '-c']]
warnings = known(WARNINGS)
failed = False
for options in runs:
    if '-c' in options:
        options += ['-o', os.devnull]
    status, said = compiled(*warnings, *options, program)
    found = list(of_ours(said))
    if status or found:
        failed = True
        print(' '.join(options), *(found or [said]), sep='\n')
print(f'{len(warnings)} warnings were asked for')
sys.exit(failed)
