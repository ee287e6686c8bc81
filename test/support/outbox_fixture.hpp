// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What a test starts of an outbox.

#include <cosock/outbox.hpp>
#include <cosock/task.hpp>

#include <string>
#include <utility>

namespace test {

using cosock::outbox;
using cosock::task;

inline task<> run(outbox& out) { co_await out.run(); }
inline task<> send(outbox& out, std::string what) { co_await out.send(std::move(what)); }

}  // namespace test
