# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, get, rmdir
from conan.tools.gnu import PkgConfigDeps
from conan.tools.layout import basic_layout
from conan.tools.meson import Meson, MesonToolchain
from conan.tools.scm import Version

required_conan_version = ">=2.0"


class CosockConan(ConanFile):
    name = "cosock"
    version = "0.1.0"
    description = "Coroutine sockets for C++20 on Boost.Asio"
    license = "BSL-1.0"
    topics = ("coroutines", "sockets", "asio", "structured-concurrency")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True, "boost/*:header_only": True}
    implements = ["auto_shared_fpic"]

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration(f"{self.ref} needs Linux")
        check_min_cppstd(self, 20)
        oldest = {"gcc": "12", "clang": "16"}.get(str(self.settings.compiler))
        if oldest is None or Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(
                f"{self.ref} needs GCC 12 or later, or Clang 16 or later")

    def requirements(self):
        self.requires("boost/[>=1.81 <2]", transitive_headers=True)

    def build_requirements(self):
        self.tool_requires("meson/[>=1.0 <2]")
        self.tool_requires("pkgconf/[>=2.0 <3]")

    def layout(self):
        basic_layout(self, src_folder="src")

    def source(self):
        get(self, f"WHERE-YOU-GET-COSOCK-FROM/cosock-{self.version}.tar.xz",
            sha256="THE-SHA256-OF-THE-ARCHIVE", strip_root=True)

    def generate(self):
        toolchain = MesonToolchain(self)
        toolchain.project_options["testing"] = "disabled"
        toolchain.project_options["tls"] = "disabled"
        toolchain.project_options["tests"] = "disabled"
        toolchain.project_options["samples"] = "disabled"
        toolchain.generate()
        PkgConfigDeps(self).generate()

    def build(self):
        meson = Meson(self)
        meson.configure()
        meson.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        Meson(self).install()
        # Conan writes files for CMake and pkg-config out of package_info().
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))

    def package_info(self):
        self.cpp_info.libs = ["cosock"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.requires = ["boost::headers"]
