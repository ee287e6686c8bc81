// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a function for a thread that is a temporary lambda and captures by value
// says-gcc-12: make it a named variable, and pass the name
#include <cosock/task.hpp>
#include <cosock/threads.hpp>

#include <string>

cosock::task<std::size_t> work(std::string text) {
  co_return co_await cosock::on_threads([text] { return text.size(); }, cosock::abandon);
}
