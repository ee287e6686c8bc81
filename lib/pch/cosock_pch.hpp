// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Compiled once for the whole library: what most of its files include, which is Asio and costs more
// than they do. They include it themselves too, so that each compiles without this (b_pch=false).

#include "io/descriptor.hpp"
#include "net/socket.hpp"
