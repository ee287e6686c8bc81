#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""conan.py RECIPE WORK INSTALLED OBJECTS: stands in for Conan, for what the recipe calls.

Runs the recipe's methods in Conan's order: sources in WORK/src, the build in WORK/build, the
package in WORK/package, and for users WORK/use/cosock.pc, out of the recipe's package_info().
INSTALLED has the headers of Boost. OBJECTS is a build of the same sources: what was compiled there
is not compiled again.
"""
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import types
import urllib.request


class ConanException(Exception):
    pass


class ConanInvalidConfiguration(ConanException):
    pass


class Version:
    def __init__(self, text):
        self.parts = [int(part) for part in str(text).split('.')]

    def __lt__(self, other):
        return self.parts < Version(other).parts


class Value(str):
    """A setting: its text, and settings below it."""

    def get_safe(self, name):
        return getattr(self, name.removeprefix('compiler.'), None)


class Settings:
    def __init__(self, system='Linux', compiler='gcc', version='12', cppstd='20'):
        self.os, self.arch, self.build_type = Value(system), Value('x86_64'), Value('Release')
        self.compiler = Value(compiler)
        self.compiler.version = Value(version)
        if cppstd:
            self.compiler.cppstd = Value(cppstd)


class ConanFile:
    def __init__(self, settings):
        self.settings = settings
        self.options = types.SimpleNamespace(
            **{name: value for name, value in self.default_options.items() if '/' not in name})
        self.cpp_info = types.SimpleNamespace(libs=[], system_libs=[], requires=[])
        self.required, self.generated = {}, {}

    @property
    def ref(self):
        return f'{self.name}/{self.version}'

    def requires(self, reference, transitive_headers=False):
        assert transitive_headers, f'{reference}: its headers are included by those of the package'
        self.tool_requires(reference)

    def tool_requires(self, reference):
        found = re.fullmatch(r'([a-z]+)/\[>=[\d.]+ <\d+\]', reference)
        assert found, f'"{reference}" is no name and range'
        self.required[found[1]] = reference


def check_min_cppstd(recipe, least):
    standard = recipe.settings.compiler.get_safe('cppstd')
    if standard is None or int(standard.removeprefix('gnu')) < int(least):
        raise ConanInvalidConfiguration(f'cppstd is {standard}, less than {least}')


def basic_layout(recipe, src_folder):
    recipe.source_folder = str(WORK / src_folder)
    recipe.build_folder = str(WORK / 'build')
    recipe.package_folder = str(WORK / 'package')


def get(recipe, url, sha256, strip_root):
    archive, _ = urllib.request.urlretrieve(url)
    assert hashlib.sha256(pathlib.Path(archive).read_bytes()).hexdigest() == sha256, 'sha256'
    assert strip_root
    with tarfile.open(archive) as tar:
        tar.extractall(WORK)
    (WORK / f'{recipe.name}-{recipe.version}').rename(recipe.source_folder)


def copy(recipe, pattern, src, dst):
    files = list(pathlib.Path(src).glob(pattern))
    for file in files:
        pathlib.Path(dst).mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, dst)
    return files


def rmdir(recipe, path):
    shutil.rmtree(path, ignore_errors=True)


class PkgConfigDeps:
    def __init__(self, recipe):
        self.recipe = recipe

    def generate(self):
        assert 'boost' in self.recipe.required
        write('generators/boost.pc', f'prefix={INSTALLED}\nName: boost\nDescription: Boost\n'
              'Version: 1.81\nCflags: -I${prefix}/include\n')


class MesonToolchain:
    def __init__(self, recipe):
        self.recipe, self.project_options = recipe, {}

    def generate(self):
        options = self.recipe.options
        values = {
            'built-in options': {
                'buildtype': 'plain',  # for the sake of time
                'cpp_std': 'c++' + self.recipe.settings.compiler.cppstd,
                'default_library': 'shared' if options.shared else 'static',
                'b_staticpic': options.fPIC,
                'libdir': 'lib',
                'pkg_config_path': str(WORK / 'generators'),
            },
            'project options': {'wrap_mode': 'nofallback'} | self.project_options,
        }
        values['built-in options']['wrap_mode'] = values['project options'].pop('wrap_mode')
        write('generators/conan_meson_native.ini', ''.join(
            f'[{section}]\n' + ''.join(
                f'{name} = {str(value).lower() if value in (True, False) else repr(value)}\n'
                for name, value in settings.items())
            for section, settings in values.items()))


class Meson:
    def __init__(self, recipe):
        assert 'meson' in recipe.required and 'pkgconf' in recipe.required
        self.source, self.build_folder = recipe.source_folder, recipe.build_folder
        self.package = recipe.package_folder

    def configure(self):
        shutil.copytree(OBJECTS, self.build_folder, ignore=shutil.ignore_patterns('meson-*'))
        call('meson', 'setup', '--native-file', WORK / 'generators' / 'conan_meson_native.ini',
             '--prefix=/', self.build_folder, self.source)

    def build(self):
        call('meson', 'compile', '-C', self.build_folder)

    def install(self):
        call('meson', 'install', '-C', self.build_folder, '--destdir', self.package)


def call(*command):
    subprocess.run([str(word) for word in command], check=True, timeout=600)


def write(name, text):
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def modules():
    """What a recipe may import; other names fail as they would with Conan."""
    provided = {
        'conan': [ConanFile],
        'conan.errors': [ConanException, ConanInvalidConfiguration],
        'conan.tools': [],
        'conan.tools.build': [check_min_cppstd],
        'conan.tools.files': [copy, get, rmdir],
        'conan.tools.gnu': [PkgConfigDeps],
        'conan.tools.layout': [basic_layout],
        'conan.tools.meson': [Meson, MesonToolchain],
        'conan.tools.scm': [Version],
    }
    for name, things in provided.items():
        sys.modules[name] = types.ModuleType(name)
        for thing in things:
            setattr(sys.modules[name], thing.__name__, thing)


def refuses(recipe, sentence, **settings):
    try:
        recipe(Settings(**settings)).validate()
    except ConanInvalidConfiguration as error:
        assert sentence in str(error), f'{settings}: {error}'
    else:
        raise AssertionError(f'{settings} is accepted')


def create(recipe):
    for method in ('layout', 'requirements', 'build_requirements', 'validate', 'source', 'generate',
                   'build', 'package', 'package_info'):
        getattr(recipe, method)()
    info = recipe.cpp_info
    assert info.requires == ['boost::headers'], info.requires
    assert 'auto_shared_fpic' in recipe.implements and recipe.settings.os == 'Linux'
    write('use/cosock.pc', f'prefix={recipe.package_folder}\nName: {recipe.name}\n'
          f'Description: {recipe.description}\nVersion: {recipe.version}\n'
          f'Cflags: -I${{prefix}}/include -I{INSTALLED}/include\nLibs: -L${{prefix}}/lib '
          + ' '.join(f'-l{name}' for name in info.libs + info.system_libs) + '\n')


def main():
    modules()
    names = {}
    exec(compile(pathlib.Path(RECIPE).read_bytes(), RECIPE, 'exec'), names)
    recipe = next(thing for thing in names.values() if isinstance(thing, type)
                  and issubclass(thing, ConanFile) and thing is not ConanFile)
    refuses(recipe, 'needs Linux', system='Windows')
    refuses(recipe, 'less than 20', cppstd='gnu17')
    refuses(recipe, 'less than 20', cppstd=None)
    refuses(recipe, 'needs GCC 12', version='11')
    refuses(recipe, 'Clang 16', compiler='clang', version='15')
    refuses(recipe, 'needs GCC 12', compiler='intel-cc', version='2024')
    recipe(Settings(compiler='clang', version='16.0', cppstd='gnu23')).validate()
    create(recipe(Settings()))


RECIPE, WORK, INSTALLED, OBJECTS = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
main()
