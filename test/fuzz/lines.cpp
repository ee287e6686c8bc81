// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The protocol of line_server: any bytes in any pieces get whole lines as answers.

#include "input.hpp"
#include "support/scripted_stream.hpp"

#define main line_server_main
#include "../../samples/line_server.cpp"

#include <algorithm>
#undef main

namespace {

bool is_answer(std::string_view line) {
  return line == "ok" || line == "not found" || line.starts_with("value ") ||
         line.starts_with("error: ");
}

cosock::task<> session(fuzz::input in, store& values) {
  const auto client = co_await test::make_scripted_stream();
  const std::size_t piece = in.below(40) + 1;
  const std::string_view said = in.text(in.byte() * std::size_t{16});
  for (std::size_t i = 0; i < said.size(); i += piece)
    client->push(std::string(said.substr(i, piece)));
  client->end();
  const auto ended =
      co_await cosock::as_result(handle_client(*client, values, std::chrono::hours(1)));
  REQUIRE(ended || ended.error() == cosock::error::end_of_stream);

  std::string_view answers = client->sent();
  REQUIRE(answers.empty() || answers.back() == '\n');
  std::size_t count = 0;
  for (; !answers.empty(); ++count) {
    const std::size_t lf = answers.find('\n');
    REQUIRE(is_answer(answers.substr(0, lf)));
    answers.remove_prefix(lf + 1);
  }
  // One for each line, and one for a line that is too long.
  REQUIRE(count <= static_cast<std::size_t>(std::count(said.begin(), said.end(), '\n')) + 1);
}

cosock::task<> sessions(fuzz::input in) {
  store values;
  do {
    co_await session(in.part(1 + 1 + 16 * 256), values);
  } while (!in.empty());
}

}  // namespace

void fuzz_one(fuzz::input in) { fuzz::run(sessions(in)); }
