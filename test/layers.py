#!/usr/bin/env python3
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# layers.py SOURCE_FOLDER: checks that each layer of the library includes only itself and those below it,
# that Asio is compiled behind few sources, and that its private parts are named in one.
"""docs/architecture.md draws the layers."""

import pathlib
import re
import sys

# From the bottom to the top, the folders of lib/.
# cosock-tls may use all but the bridge, and the test kit too.
LAYERS = ["core", "loop", "io", "net", "protocol", "service", "tls", "asio", "testing"]

# Public headers whose layer no source tells: it would be the one whose first include they are.
HEADERS = {
    "core": "awaitable broadcast buffer channel clock duration finally nursery observer version when "
            "detail/chrono detail/config detail/core detail/described_scope detail/duration detail/owner detail/task_group detail/ring detail/size "
            "detail/slots detail/temporary_lambda detail/timer",
    "loop": "detail/asio_build detail/job loop_counters run_options watch",
    "io": "descriptor_handle rate_limit stream detail/fd_kind detail/forwarding_object detail/io_object detail/stream_operation",
    "net": "connect_options connection credentials local_endpoint receive_result socket tcp_options detail/datagram detail/local detail/message",
    "service": "detail/peer_place detail/shared_acceptor detail/reconnect detail/serve_state",
    "tls": "tls tls_facts tls_stream",
    "testing": "testing/allocation_failures testing/check_report testing/network_options testing/task_order testing/detail/fault_hook",
    "asio": "detail/asio_async_stream detail/asio_loop_executor detail/asio_operation detail/asio_sockets "
            "detail/asio_spawn detail/asio_stream",
}

# The one source that names Asio's private parts, and how many may compile Asio at all.
DOOR = "lib/loop/asio_reactor.cpp"
MAX_ASIO_SOURCES = 8

# A header that knows a higher layer, and why.
EXCEPTIONS = {
    # Refuses a program whose macros change Asio, which it may use without the bridge.
    ("include/cosock/detail/config.hpp", "<cosock/detail/asio_build.hpp>"),
}

INCLUDE = re.compile(r'^ *# *include +(<[^>]+>|"[^"]+")', re.MULTILINE)


def main():
    if len(sys.argv) != 2:
        print("layers.py: usage: layers.py SOURCE_FOLDER", file=sys.stderr)
        return 2
    failures = []
    top = pathlib.Path(sys.argv[1])
    files = {
        path.relative_to(top).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("include", "lib")
        for path in sorted((top / folder).rglob("*.[ch]pp"))
    }
    files.pop("include/cosock/cosock.hpp")  # includes all
    includes = {name: INCLUDE.findall(text) for name, text in files.items()}

    layer = {}
    for name in files:
        if name.startswith("lib/") and not name.startswith("lib/pch/"):
            layer[name] = name.split("/")[1]
    for name, found in includes.items():
        if name in layer and name.endswith(".cpp") and found and found[0].startswith("<cosock/"):
            layer.setdefault("include/" + found[0][1:-1], layer[name])
    for place, headers in HEADERS.items():
        for header in headers.split():
            name = f"include/cosock/{header}.hpp"
            if layer.setdefault(name, place) != place:
                failures.append(f"{name}: is of {layer[name]}, test/layers.py says {place}")

    def file_of(include):
        inner = include[1:-1]
        name = ("include/" if include[0] == "<" else "lib/") + inner
        return name if name in files else None

    for name in files:
        if name not in layer:
            if not name.startswith("lib/pch/"):
                failures.append(f"{name}: no layer; test/layers.py has a table of headers")
            continue
        for include in includes[name]:
            other = file_of(include)
            if other is None or other not in layer or (name, include) in EXCEPTIONS:
                continue
            if LAYERS.index(layer[other]) > LAYERS.index(layer[name]):
                failures.append(f"{name}: is of {layer[name]}, and includes {include}, "
                                f"which is of {layer[other]}")

    # Asio: what each file reaches.
    reached = {}

    def reaches_asio(name):
        if name not in reached:
            reached[name] = False
            reached[name] = any(
                include.startswith("<boost/asio") or
                ((name, include) not in EXCEPTIONS and file_of(include) is not None and
                 reaches_asio(file_of(include)))
                for include in includes[name])
        return reached[name]

    sources = [name for name in files if name.endswith(".cpp") and reaches_asio(name)]
    if len(sources) > MAX_ASIO_SOURCES:
        failures.append(f"{len(sources)} sources compile Asio, {MAX_ASIO_SOURCES} may: "
                        + " ".join(sources))
    for name in files:
        if layer.get(name) == "core" and reaches_asio(name):
            failures.append(f"{name}: is of core, and includes Asio")
        private = re.search(r"\basio::detail::", files[name])
        if private and name != DOOR:
            failures.append(f"{name}: names boost::asio::detail, which only {DOOR} may")

    for failure in failures:
        print(failure)
    print(f"{len(files)} files, {len(sources)} sources with Asio: {' '.join(sources)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
